"""Forgotten and changed passwords. A new password ends every token that was issued before it."""

from dataclasses import dataclass
from typing import Self

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from atelier.accounts import email_tokens, preferences, sessions
from atelier.accounts.email_tokens import Fresh
from atelier.accounts.errors import TokenInvalid, WrongPassword
from atelier.accounts.models import User
from atelier.contracts import oplog
from atelier.kernel import ids
from atelier.kernel.database import matched
from atelier.mail import queue as mail


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Ids for what follows a new password: the end of all tokens, and the e-mail that tells of it."""

    revocation_id: str
    email_id: str

    @classmethod
    def fresh(cls) -> Self:
        """New ids, made outside of the transaction."""
        return cls(revocation_id=ids.new_id(), email_id=ids.new_id())


def forgot(session: Session, *, email_key: str, fresh: Fresh, now_ms: int) -> None:
    """Send a link to choose a new password; to an unknown address, silently nothing."""
    known = select(User.id).where(User.email_key == email_key, User.status == "active")
    user_id = session.execute(known).scalar_one_or_none()
    if user_id is not None:
        email_tokens.send(session, user_id=user_id, purpose="reset", fresh=fresh, now_ms=now_ms)


def reset(session: Session, *, token: str, new_hash: str, ended: Ended, now_ms: int) -> str:
    """Set the password of the token's user and answer the user's id. Raises TokenInvalid."""
    redeemed = email_tokens.redeem(session, purpose="reset", token=token, now_ms=now_ms)
    chosen = (
        update(User)
        .where(User.id == redeemed.user_id, User.email == redeemed.email, User.status == "active")
        .values(password_hash=new_hash)
    )
    if not matched(session, chosen):
        raise TokenInvalid
    _settle(session, user_id=redeemed.user_id, ended=ended, now_ms=now_ms)
    return redeemed.user_id


def change(session: Session, *, user_id: str, old_hash: str, new_hash: str, ended: Ended, now_ms: int) -> int:
    """Set a new password where the old one still holds; answers the new token version. Raises WrongPassword."""
    chosen = (
        update(User)
        .where(User.id == user_id, User.password_hash == old_hash, User.status == "active")
        .values(password_hash=new_hash)
    )
    if not matched(session, chosen):
        raise WrongPassword
    return _settle(session, user_id=user_id, ended=ended, now_ms=now_ms)


def _settle(session: Session, *, user_id: str, ended: Ended, now_ms: int) -> int:
    version = sessions.revoke_all(session, user_id=user_id, revocation_id=ended.revocation_id, now_ms=now_ms)
    email_tokens.use_up(session, user_id=user_id, purpose="reset", now_ms=now_ms)
    user = session.execute(select(User.email, User.username, User.settings).where(User.id == user_id)).one()
    letter = mail.Letter(
        email_id=ended.email_id,
        template="password_changed",
        ref=f"{user_id}:{version}",
        user_id=user_id,
        recipient=user.email,
        locale=preferences.of(user.settings).locale,
        context={"name": user.username},
    )
    mail.enqueue(session, letter=letter, now_ms=now_ms)
    operation = oplog.Operation(
        action="USER_CHANGE_PASSWORD", user_id=user_id, resource_type="user", resource_id=user_id
    )
    oplog.record(session, operation, now_ms=now_ms)
    return version
