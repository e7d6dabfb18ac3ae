"""The named failures of providers. Messages are ours and short, without the provider's own text: it may hold secrets.

`code` is stable: it becomes the job's `errorCode`. Rejections are final; the others are tried again by the job.
"""

from typing import ClassVar

from atelier.providers.contract import ProviderRejected, ProviderUnavailable


class ParameterInvalid(ProviderRejected):
    """A parameter that the provider cannot work with. `details["parameter"]` names it."""

    code: ClassVar[str] = "PROVIDER_PARAMETER_INVALID"


class ContentRefused(ProviderRejected):
    """The provider's content policy refused the prompt or what came out of it."""

    code: ClassVar[str] = "PROVIDER_CONTENT_REFUSED"


class ModelMissing(ProviderRejected):
    """The endpoint does not know the model or the path."""

    code: ClassVar[str] = "PROVIDER_MODEL_MISSING"


class SpeechMissing(ProviderRejected):
    """Speech was asked for, but the optional speech engine is not installed here or does not know the voice."""

    code: ClassVar[str] = "PROVIDER_SPEECH_MISSING"


class Misconfigured(ProviderUnavailable):
    """The provider refused our key or our account: an operator must act, the user did nothing wrong."""

    code: ClassVar[str] = "PROVIDER_MISCONFIGURED"


class QuotaExhausted(ProviderUnavailable):
    """Our own account at the provider has no money or no quota left."""

    code: ClassVar[str] = "PROVIDER_QUOTA_EXHAUSTED"


class Throttled(ProviderUnavailable):
    """The provider asks for fewer requests. `retry_after` is in seconds, None when it did not say."""

    code: ClassVar[str] = "PROVIDER_THROTTLED"

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TimedOut(ProviderUnavailable):
    """The provider did not answer in time."""

    code: ClassVar[str] = "PROVIDER_TIMEOUT"


class OutOfTime(TimedOut):
    """The attempt's own end came before the provider's: the job was given too little time, or had little left.

    How much that is a user decides, so it must not close the provider for others.
    """

    blames_provider: ClassVar[bool] = False


class Interrupted(ProviderUnavailable):
    """The connection or the stream ended before the answer was complete."""

    code: ClassVar[str] = "PROVIDER_INTERRUPTED"


class BadAnswer(ProviderUnavailable):
    """The provider answered something that its protocol does not allow."""

    code: ClassVar[str] = "PROVIDER_BAD_ANSWER"


class WeightsUnavailable(ProviderUnavailable):
    """The weights of the embedded model could not be fetched or are damaged."""

    code: ClassVar[str] = "PROVIDER_WEIGHTS_UNAVAILABLE"
