"""Logging in and out. A token lives until it expires, is revoked by its id, or the user's token version moves on."""

from dataclasses import dataclass, field
from typing import Self

from sqlalchemy import insert, or_, select, update
from sqlalchemy.orm import Session

from atelier.accounts import rules
from atelier.accounts.errors import UserNotFound
from atelier.accounts.models import RevocationRow, User
from atelier.contracts import oplog
from atelier.kernel import clock, tokens
from atelier.kernel.database import matched
from atelier.kernel.keyring import Keyring


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a login is checked against."""

    user_id: str
    email_key: str
    username_key: str
    password_hash: str = field(repr=False)
    token_version: int
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a request came from, for the operation log."""

    address: str
    user_agent: str | None

    @classmethod
    def of(cls, *, address: str | None, user_agent: str | None) -> Self:
        """From what a client sent, which may be anything: bytes that are no text are dropped, the rest is cut."""
        cleaned = " ".join(rules.clean(user_agent or "").split())[:300]
        return cls(address=(address or "")[:45], user_agent=cleaned or None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """A signed token and its end."""

    token: str = field(repr=False)
    expires_ms: int


def credentials(session: Session, *, kind: str, key: str) -> Credentials | None:
    """The user with this e-mail address (`kind` "email"), username or id, or None. One column decides, never two."""
    column = {"email": User.email_key, "username": User.username_key, "id": User.id}[kind]
    row = session.execute(
        select(User.id, User.email_key, User.username_key, User.password_hash, User.token_version, User.status).where(
            column == key
        )
    ).one_or_none()
    if row is None:
        return None
    return Credentials(
        user_id=row.id,
        email_key=row.email_key,
        username_key=row.username_key,
        password_hash=row.password_hash,
        token_version=row.token_version,
        active=row.status == "active",
    )


def record_login(session: Session, *, seen: Credentials, new_hash: str | None, origin: Origin, now_ms: int) -> bool:
    """Note a login with the right password; False when the user was disabled or changed the password meanwhile.

    A new hash of the same password leaves the version alone, and ending all sessions leaves the hash alone, so only
    a change of both says that the password itself is another.
    """
    values = {"last_login_ms": now_ms} | ({"password_hash": new_hash} if new_hash else {})
    unchanged = or_(User.password_hash == seen.password_hash, User.token_version == seen.token_version)
    if not matched(
        session, update(User).where(User.id == seen.user_id, User.status == "active", unchanged).values(values)
    ):
        return False
    oplog.record(
        session,
        oplog.Operation(
            action="USER_LOGIN",
            user_id=seen.user_id,
            resource_type="user",
            resource_id=seen.user_id,
            address=origin.address,
            user_agent=origin.user_agent,
        ),
        now_ms=now_ms,
    )
    return True


def issue(keyring: Keyring, *, user_id: str, token_id: str, version: int, now_ms: int, expires_ms: int) -> AccessToken:
    """A fresh access token. Its end is a whole second, as in its claims."""
    token = tokens.issue(
        keyring, user_id=user_id, token_id=token_id, version=version, now_ms=now_ms, expires_ms=expires_ms
    )
    return AccessToken(token=token, expires_ms=expires_ms // 1000 * 1000)


def revoke_token(session: Session, *, token_id: str, expires_ms: int, revocation_id: str) -> None:
    """End one token. The row is kept until the token would have expired anyway."""
    _insert(
        session, revocation_id=revocation_id, token_id=token_id, user_id=None, expires_ms=expires_ms + clock.HOUR_MS
    )


def revoke_all(session: Session, *, user_id: str, revocation_id: str, now_ms: int) -> int:
    """End every token of a user and answer the new token version. Raises UserNotFound."""
    bumped = update(User).where(User.id == user_id).values(token_version=User.token_version + 1, updated_ms=now_ms)
    if not matched(session, bumped):
        raise UserNotFound
    hint_revoked(session, user_id=user_id, revocation_id=revocation_id, now_ms=now_ms)
    return session.execute(select(User.token_version).where(User.id == user_id)).scalar_one()


def hint_revoked(session: Session, *, user_id: str, revocation_id: str, now_ms: int) -> None:
    """Tell every web process to forget what it knows of this user. The version in the user's row is the truth."""
    _insert(session, revocation_id=revocation_id, token_id=None, user_id=user_id, expires_ms=now_ms + clock.HOUR_MS)


def set_status(session: Session, *, user_id: str, active: bool, revocation_id: str, now_ms: int) -> None:
    """Disable a user, which ends every token at once, or let them in again. Raises UserNotFound."""
    status = "active" if active else "disabled"
    if not matched(session, update(User).where(User.id == user_id).values(status=status)):
        raise UserNotFound
    revoke_all(session, user_id=user_id, revocation_id=revocation_id, now_ms=now_ms)


def _insert(
    session: Session, *, revocation_id: str, token_id: str | None, user_id: str | None, expires_ms: int
) -> None:
    session.execute(
        insert(RevocationRow).values(
            id=revocation_id, token_id=token_id, user_id=user_id, created_ms=clock.db_now_ms(), expires_ms=expires_ms
        )
    )
