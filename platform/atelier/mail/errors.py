"""Why an e-mail did not go out."""

from typing import ClassVar

from atelier.kernel.errors import Refusal, Transient


class MailUnavailable(Transient):
    """The server could not take it now: unreachable, busy, greylisting. Tried again later."""

    code: ClassVar[str] = "MAIL_UNAVAILABLE"


class MailRejected(Refusal):
    """The server refused this e-mail for good, e.g. because the mailbox doesn't exist."""

    code: ClassVar[str] = "MAIL_REJECTED"
