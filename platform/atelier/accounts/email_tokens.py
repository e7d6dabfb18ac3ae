"""Single-use tokens that are mailed: to prove an address, or to choose a new password.

A token is derived from its row's id with the server's current key, so the raw token is neither stored nor sent through
the broker: whoever writes the e-mail makes it again, with the key that the letter names: another may be the current
one by then. It is bound to the address it was sent to.
"""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, func, insert, select, update
from sqlalchemy.orm import Session

from atelier.accounts import preferences
from atelier.accounts.errors import TokenInvalid
from atelier.accounts.models import EmailToken, User
from atelier.kernel import clock, tokens
from atelier.kernel.database import matched
from atelier.kernel.keyring import Key
from atelier.mail import links
from atelier.mail import queue as mail

Purpose = Literal["verify", "reset"]
TEMPLATES: dict[Purpose, str] = {"verify": "verify_email", "reset": "reset_password"}
LIVES_MS: dict[Purpose, int] = {"verify": 24 * clock.HOUR_MS, "reset": clock.HOUR_MS}
PER_HOUR_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """Ids for a token and its e-mail, and the key that the token is derived with."""

    token_id: str
    email_id: str
    key: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Redeemed:
    """Whose token it was, and the address that it was sent to."""

    user_id: str
    email: str


def send(session: Session, *, user_id: str, purpose: Purpose, fresh: Fresh, now_ms: int) -> bool:
    """Make a token for the user's present address and queue the e-mail with it; False when five went out this hour."""
    user = session.execute(select(User.email, User.username, User.settings).where(User.id == user_id)).one()
    life_ms = LIVES_MS[purpose]
    sent = select(func.count()).where(
        EmailToken.user_id == user_id,
        EmailToken.purpose == purpose,
        EmailToken.expires_ms > now_ms + life_ms - clock.HOUR_MS,
    )
    if session.execute(sent).scalar_one() >= PER_HOUR_MAX:
        return False
    raw = links.token(fresh.key, template=TEMPLATES[purpose], ref=fresh.token_id)
    row = {
        "id": fresh.token_id,
        "user_id": user_id,
        "purpose": purpose,
        "digest": tokens.digest(raw),
        "email": user.email,
        "expires_ms": now_ms + life_ms,
    }
    session.execute(insert(EmailToken).values(row))
    letter = mail.Letter(
        email_id=fresh.email_id,
        template=TEMPLATES[purpose],
        ref=fresh.token_id,
        user_id=user_id,
        recipient=user.email,
        locale=preferences.of(user.settings).locale,
        context={"name": user.username, "kid": fresh.key.kid},
    )
    mail.enqueue(session, letter=letter, now_ms=now_ms)
    return True


def is_open(session: Session, *, purpose: Purpose, token: str, now_ms: int) -> bool:
    """Whether `redeem` would succeed now: spares the work that a worthless token would cause."""
    found = select(EmailToken.id).where(*_open(purpose, token, now_ms))
    return session.execute(found).first() is not None


def redeem(session: Session, *, purpose: Purpose, token: str, now_ms: int) -> Redeemed:
    """Use the token up. Raises TokenInvalid; of two parallel uses, one."""
    if not matched(session, update(EmailToken).where(*_open(purpose, token, now_ms)).values(used_ms=now_ms)):
        raise TokenInvalid
    row = session.execute(
        select(EmailToken.user_id, EmailToken.email).where(EmailToken.digest == tokens.digest(token))
    ).one()
    return Redeemed(user_id=row.user_id, email=row.email)


def use_up(session: Session, *, user_id: str, purpose: Purpose, now_ms: int) -> None:
    """End every open token of this kind."""
    session.execute(
        update(EmailToken)
        .where(EmailToken.user_id == user_id, EmailToken.purpose == purpose, EmailToken.used_ms.is_(None))
        .values(used_ms=now_ms)
    )


def _open(purpose: Purpose, token: str, now_ms: int) -> tuple[ColumnElement[bool], ...]:
    return (
        EmailToken.digest == tokens.digest(token),
        EmailToken.purpose == purpose,
        EmailToken.used_ms.is_(None),
        EmailToken.expires_ms > now_ms,
    )
