"""Reading accounts. Nothing here ever selects a password hash."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from atelier.accounts.errors import UserNotFound
from atelier.accounts.models import RevocationRow, User


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityRow:
    """What is asked of a user on every request."""

    user_id: str
    email: str
    role: str
    status: str
    token_version: int
    email_verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """One ended token, or all tokens of a user. `created_ms` is database time."""

    token_id: str | None
    user_id: str | None
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A user as they see themselves, without their credits."""

    id: str
    email: str
    username: str
    display_name: str
    avatar_url: str | None
    bio: str | None
    role: str
    token_version: int
    created_ms: int
    settings: Mapping[str, Any]


def identity(session: Session, *, user_id: str) -> IdentityRow | None:
    """Who a token's subject is now, or None for nobody."""
    row = session.execute(
        select(User.email, User.role, User.status, User.token_version, User.email_verified_ms).where(User.id == user_id)
    ).one_or_none()
    if row is None:
        return None
    return IdentityRow(
        user_id=user_id,
        email=row.email,
        role=row.role,
        status=row.status,
        token_version=row.token_version,
        email_verified=row.email_verified_ms is not None,
    )


def barred(session: Session, *, user_ids: Iterable[str], needs_verification: bool) -> frozenset[str]:
    """Those of the users who may spend nothing: they were disabled, or have not proved their address and need to."""
    hindrances = [User.status != "active"]
    if needs_verification:
        hindrances.append(User.email_verified_ms.is_(None))
    return frozenset(session.scalars(select(User.id).where(User.id.in_(sorted(user_ids)), or_(*hindrances))))


def is_revoked(session: Session, *, token_id: str) -> bool:
    """Whether this one token was ended."""
    return (
        session.execute(select(RevocationRow.id).where(RevocationRow.token_id == token_id).limit(1)).first() is not None
    )


def revocations_since(session: Session, *, since_ms: int) -> list[Revocation]:
    """Revocations written at `since_ms` of database time or later, oldest first.

    A row gets its time before its transaction commits, so a reader that polls goes back a few seconds each time.
    """
    rows = session.execute(
        select(RevocationRow.token_id, RevocationRow.user_id, RevocationRow.created_ms)
        .where(RevocationRow.created_ms >= since_ms)
        .order_by(RevocationRow.created_ms)
    )
    return [Revocation(token_id=row.token_id, user_id=row.user_id, created_ms=row.created_ms) for row in rows]


def profile(session: Session, *, user_id: str) -> Profile:
    """Raises UserNotFound."""
    row = session.execute(
        select(
            User.id,
            User.email,
            User.username,
            User.display_name,
            User.avatar_url,
            User.bio,
            User.role,
            User.token_version,
            User.created_ms,
            User.settings,
        ).where(User.id == user_id)
    ).one_or_none()
    if row is None:
        raise UserNotFound
    return Profile(
        id=row.id,
        email=row.email,
        username=row.username,
        display_name=row.display_name,
        avatar_url=row.avatar_url,
        bio=row.bio,
        role=row.role,
        token_version=row.token_version,
        created_ms=row.created_ms,
        settings=row.settings,
    )


def find(session: Session, *, email_key: str) -> str | None:
    """The id of the user with this address, or None."""
    return session.execute(select(User.id).where(User.email_key == email_key)).scalar_one_or_none()
