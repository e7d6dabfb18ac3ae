"""What accounts refuse."""

from typing import ClassVar

from atelier.kernel.errors import Conflict, Forbidden, NotFound, Refusal, Transient


class UserExists(Refusal):
    """The e-mail address or the username is taken; which of the two isn't said."""

    code: ClassVar[str] = "USER_EXISTS"


class InvalidCredentials(Refusal):
    """The login failed. Unknown user, wrong password and disabled account are deliberately the same."""

    code: ClassVar[str] = "INVALID_CREDENTIALS"


class WrongPassword(Refusal):
    """A signed-in user gave another current password than theirs."""

    code: ClassVar[str] = "WRONG_PASSWORD"


class TokenInvalid(Refusal):
    """The mailed token is unknown, used, expired, or was sent to an address that is no longer the user's."""

    code: ClassVar[str] = "TOKEN_INVALID"


class UserNotFound(NotFound):
    """There is no such user."""


class Outdated(Refusal):
    """The document has changed since the caller read it, so the change was made against another one."""

    code: ClassVar[str] = "PRECONDITION_FAILED"


class HasherBusy(Transient):
    """More passwords are waiting to be hashed than is useful to wait for."""


class KeyNotFound(NotFound):
    """The user has no API key of this id."""

    code: ClassVar[str] = "KEY_NOT_FOUND"


class KeyEnded(Conflict):
    """The key was revoked or has expired, and stays so."""

    code: ClassVar[str] = "KEY_ENDED"


class TooManyKeys(Conflict):
    """The user has as many keys as are allowed; those that ended count for a while."""

    code: ClassVar[str] = "KEY_LIMIT"


class KeyLimitTooLow(Conflict):
    """The key's jobs hold and have used more credits than the new limit."""

    code: ClassVar[str] = "KEY_LIMIT_TOO_LOW"


class KeyCreditsExhausted(Refusal):
    """The job would hold more credits than the key may still spend."""

    code: ClassVar[str] = "KEY_CREDITS_EXHAUSTED"


class KeyNotAccepted(Forbidden):
    """No API key opens this, whatever its scopes: sign in instead."""

    code: ClassVar[str] = "KEY_NOT_ACCEPTED"


class ScopeMissing(Forbidden):
    """The API key lacks the scope that this needs; `scope` says which."""

    code: ClassVar[str] = "SCOPE_MISSING"
