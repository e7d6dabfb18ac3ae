"""Proving that an address is one's own."""

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from atelier.accounts import email_tokens
from atelier.accounts.email_tokens import Fresh, Redeemed
from atelier.accounts.errors import TokenInvalid
from atelier.accounts.models import User
from atelier.kernel.database import matched


def verify_email(session: Session, *, token: str, now_ms: int) -> Redeemed:
    """Mark the address as the user's own. Raises TokenInvalid, also when the user has another address by now."""
    redeemed = email_tokens.redeem(session, purpose="verify", token=token, now_ms=now_ms)
    proved = (
        update(User)
        .where(User.id == redeemed.user_id, User.email == redeemed.email, User.status == "active")
        .values(email_verified_ms=func.coalesce(User.email_verified_ms, now_ms), updated_ms=now_ms)
    )
    if not matched(session, proved):
        raise TokenInvalid
    return redeemed


def resend(session: Session, *, email_key: str, fresh: Fresh, now_ms: int) -> None:
    """Send another token to an address that waits for one; to any other, silently nothing."""
    waiting = select(User.id).where(
        User.email_key == email_key, User.status == "active", User.email_verified_ms.is_(None)
    )
    user_id = session.execute(waiting).scalar_one_or_none()
    if user_id is not None:
        email_tokens.send(session, user_id=user_id, purpose="verify", fresh=fresh, now_ms=now_ms)
