"""The providers of this installation, by name. Building the registry imports nothing heavy: numpy, FFmpeg and the HTTP
client come with the first request that needs them, so that a worker for texts stays small.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from atelier.providers.contract import GenerationRequest, GenerationResult, Provider, RunContext
from atelier.providers.echo import Echo
from atelier.providers.kling.account import Account
from atelier.providers.later import LaterProvider
from atelier.providers.outline import OutlineComposer

LLM_MODEL: Final = "smollm2"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderOptions:
    """What an installation has. An empty base URL means that there is no such server.

    llm_base_url      the embedded llama.cpp server, with /v1
    openai_base_url   any OpenAI-compatible endpoint, with its version; the providers "openai", "openai-images" and
                      "openai-speech" exist only then
    openai_models     our name of a model → the endpoint's; a key "chat", "images" or "speech" is what that provider
                      uses for requests that name no model
    kling             the account at Kling; the provider "kling" exists only then
    development       adds "echo", for tests and benchmarks
    """

    llm_base_url: str = ""
    llm_api_key: str = field(default="", repr=False)
    openai_base_url: str = ""
    openai_api_key: str = field(default="", repr=False)
    openai_models: Mapping[str, str] = field(default_factory=dict[str, str])
    openai_max_tokens_field: str = "max_tokens"
    kling: Account | None = None
    development: bool = False


class Deferred:
    """A provider that is imported and made when it is first used. Two threads may make it twice; that does no harm."""

    def __init__(self, name: str, make: Callable[[], Provider]) -> None:
        self.name: str = name
        self._make = make
        self._made: Provider | None = None

    def run(self, request: GenerationRequest, context: RunContext) -> GenerationResult:
        """Run the real provider."""
        if self._made is None:
            self._made = self._make()
        return self._made.run(request, context)


def build_registry(options: ProviderOptions) -> dict[str, Provider]:
    """Return every provider that this installation has, by its name."""
    providers: list[Provider] = [
        OutlineComposer(),
        Deferred("local-text", lambda: _local_text(options)),
        Deferred("local-image", _local_image),
        Deferred("local-audio", _local_audio),
        Deferred("local-video", _local_video),
    ]
    if options.openai_base_url:
        providers += [
            Deferred("openai", lambda: _openai_chat(options)),
            Deferred("openai-images", lambda: _openai_images(options)),
            Deferred("openai-speech", lambda: _openai_speech(options)),
        ]
    if options.development:
        providers.append(Echo())
    return {provider.name: provider for provider in providers}


def build_later(options: ProviderOptions) -> dict[str, LaterProvider]:
    """Return every provider of this installation that finishes later, by its name."""
    return {} if options.kling is None else {"kling": _kling(options.kling)}


# Each maker imports what it makes: that is the whole point of this module.


def _local_text(options: ProviderOptions) -> Provider:
    from atelier.providers.local_text import LocalText  # noqa: PLC0415 - deferred on purpose
    from atelier.providers.openai import Endpoint, OpenAIChat  # noqa: PLC0415 - deferred on purpose

    if not options.llm_base_url:
        return LocalText(None)
    endpoint = Endpoint(
        base_url=options.llm_base_url,
        api_key=options.llm_api_key,
        models={"": LLM_MODEL},
        # The server is on this machine: if it does not answer at once, the outline composer does.
        connect_timeout=1.0,
        tries=2,
        longest_wait_seconds=2.0,
    )
    return LocalText(OpenAIChat(endpoint))


def _local_image() -> Provider:
    from atelier.providers.image import LocalImage  # noqa: PLC0415 - deferred on purpose

    return LocalImage()


def _local_audio() -> Provider:
    from atelier.providers.audio import LocalAudio  # noqa: PLC0415 - deferred on purpose

    return LocalAudio()


def _local_video() -> Provider:
    from atelier.providers.video import LocalVideo  # noqa: PLC0415 - deferred on purpose

    return LocalVideo()


def _kling(account: Account) -> LaterProvider:
    from atelier.providers.kling.adapter import Kling  # noqa: PLC0415 - deferred on purpose

    return Kling(account)


def _openai_chat(options: ProviderOptions) -> Provider:
    from atelier.providers.openai import Endpoint, OpenAIChat  # noqa: PLC0415 - deferred on purpose

    endpoint = Endpoint(
        base_url=options.openai_base_url, api_key=options.openai_api_key, models=_models(options, "chat")
    )
    return OpenAIChat(endpoint, max_tokens_field=options.openai_max_tokens_field)


def _openai_images(options: ProviderOptions) -> Provider:
    from atelier.providers.openai import Endpoint, OpenAIImages  # noqa: PLC0415 - deferred on purpose

    return OpenAIImages(
        Endpoint(base_url=options.openai_base_url, api_key=options.openai_api_key, models=_models(options, "images"))
    )


def _openai_speech(options: ProviderOptions) -> Provider:
    from atelier.providers.openai import Endpoint, OpenAISpeech  # noqa: PLC0415 - deferred on purpose

    return OpenAISpeech(
        Endpoint(base_url=options.openai_base_url, api_key=options.openai_api_key, models=_models(options, "speech"))
    )


def _models(options: ProviderOptions, kind: str) -> dict[str, str]:
    return {"": options.openai_models.get(kind, ""), **options.openai_models}
