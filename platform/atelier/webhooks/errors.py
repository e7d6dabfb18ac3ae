"""What webhooks refuse."""

from typing import ClassVar

from atelier.kernel.errors import Conflict, NotFound, RateLimited, Transient


class WebhookNotFound(NotFound):
    """No such endpoint, or someone else's."""

    code: ClassVar[str] = "WEBHOOK_NOT_FOUND"


class WebhookEventNotFound(NotFound):
    """No such event, or someone else's."""

    code: ClassVar[str] = "EVENT_NOT_FOUND"


class TooManyWebhooks(Conflict):
    """The user has as many endpoints as are allowed: `limit`."""

    code: ClassVar[str] = "WEBHOOK_LIMIT"


class WebhookDisabled(Conflict):
    """The endpoint is off: nothing is sent there."""

    code: ClassVar[str] = "WEBHOOK_DISABLED"


class SecretsOverlap(Conflict):
    """A secret was promised to sign beside the current one, `previous_valid_until`: who rotates says what to drop."""

    code: ClassVar[str] = "WEBHOOK_SECRETS_OVERLAP"


class TooManyWaitingEvents(RateLimited):
    """As many events wait for this endpoint as are allowed."""

    code: ClassVar[str] = "TOO_MANY_WEBHOOK_EVENTS"


class SecretUnreadable(Transient):
    """It was sealed with a key that is not active here; another process may have it."""
