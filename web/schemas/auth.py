"""Accounts: what is sent to register, sign in and change, and what comes back."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from atelier.accounts.rules import BIO_MAX, DISPLAY_NAME_MAX, URL_MAX, USERNAME
from web.schemas.model import Answer, Body, Timestamp
from web.schemas.settings import SettingsAnswer, without_default

TEXT_MAX = 320  # Longer than any address or username, short enough for a log.
PASSWORD_MIN = 8
PASSWORD_MAX = 1_024


Email = Annotated[str, Field(min_length=3, max_length=TEXT_MAX, json_schema_extra={"format": "email"})]
NewPassword = Annotated[
    str,
    Field(
        min_length=PASSWORD_MIN,
        max_length=PASSWORD_MAX,
        repr=False,
        description="UTF-8 of at most 1 024 bytes, any characters",
    ),
]
GivenPassword = Annotated[str, Field(min_length=1, max_length=PASSWORD_MAX, repr=False)]
MailedToken = Annotated[str, Field(min_length=1, max_length=200, repr=False)]


class RegisterBody(Body):
    """A new user. Without `displayName` they are shown by their username."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"email": "mei@example.com", "username": "mei", "password": "correct horse battery"}]
        }
    )

    email: Email
    username: str = Field(pattern=USERNAME)
    password: NewPassword
    display_name: str | None = Field(None, max_length=DISPLAY_NAME_MAX)


class LoginBody(Body):
    """`loginId` is an e-mail address or a username."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"loginId": "mei", "password": "correct horse battery", "rememberMe": True}]}
    )

    login_id: str = Field(min_length=1, max_length=TEXT_MAX)
    password: GivenPassword
    remember_me: bool = False


class EmailLoginBody(Body):
    """Signing in at the credits service's path."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "user@example.com", "password": "correct horse battery"}]}
    )

    email: str = Field(min_length=1, max_length=TEXT_MAX)
    password: GivenPassword


class AccessTokenBody(Body):
    """An access token to be looked at."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"token": "jwt-token-here"}]})

    token: str = Field(min_length=1, max_length=4_096, repr=False)


class VerifyEmailBody(Body):
    """The token from the e-mail."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"token": "token-from-the-e-mail"}]})

    token: MailedToken


class AddressBody(Body):
    """The address that something should be sent to."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "mei@example.com"}]})

    email: Email


class ResetPasswordBody(Body):
    """The token from the e-mail, and the password to be."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"token": "token-from-the-e-mail", "password": "a new correct horse"}]}
    )

    token: MailedToken
    password: NewPassword


class ChangePasswordBody(Body):
    """The password that is, and the one to be."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"currentPassword": "correct horse battery", "newPassword": "a new correct horse"}]
        }
    )

    current_password: GivenPassword
    new_password: NewPassword


class ProfileBody(Body):
    """What is left out stays; null empties `bio` and `avatarUrl`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"displayName": "梅", "bio": "插画师"}]})

    # The default only says that it was left out: it is no name, and null is none either.
    display_name: str = Field("", min_length=1, max_length=DISPLAY_NAME_MAX, json_schema_extra=without_default)
    bio: str | None = Field(None, max_length=BIO_MAX)
    avatar_url: str | None = Field(
        None, max_length=URL_MAX, description="an https:// address, or an own file: /api/files/<id>"
    )


class DoneAnswer(Answer):
    """It is done."""

    success: Literal[True] = True


class MessageAnswer(DoneAnswer):
    """It is done, and what to tell the user."""

    message: str


class TokenAnswer(DoneAnswer):
    """A fresh access token."""

    token: str
    expires_at: Timestamp


class UserAnswer(Answer):
    """The user who signed in. `credits` may be spent now."""

    id: str
    email: str
    username: str
    display_name: str
    avatar_url: str | None
    role: Literal["user", "creator", "admin"]
    credits: int


class LoginAnswer(TokenAnswer):
    """Signed in."""

    user: UserAnswer


class ProfileAnswer(UserAnswer):
    """The user as they see themselves."""

    bio: str | None
    total_spent: int
    created_at: Timestamp
    settings: SettingsAnswer


class ChangedProfileAnswer(Answer):
    """The part of the profile that its owner may change."""

    id: str
    display_name: str
    bio: str | None
    avatar_url: str | None


class EmailLoginAnswer(DoneAnswer):
    """Signed in, in the shape of the credits service: `userId` is the e-mail address."""

    user_id: str
    email: str
    name: str
    token: str


class ValidTokenAnswer(Answer):
    """The token is good, and whose it is."""

    valid: Literal[True] = True
    user_id: str
    email: str


class InvalidTokenAnswer(Answer):
    """The token is not good."""

    valid: Literal[False] = False
