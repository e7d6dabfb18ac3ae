"""What accounts refuse."""

from typing import ClassVar

from atelier.kernel.errors import NotFound, Refusal, Transient


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
