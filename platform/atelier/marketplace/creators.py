"""People as everyone may see them."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atelier.accounts.errors import UserNotFound
from atelier.accounts.models import User
from atelier.catalog.models import Agent


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicProfile:
    """A user without anything private. `agents_count` are their published agents."""

    id: str
    username: str
    display_name: str
    avatar_url: str | None
    bio: str | None
    created_ms: int
    agents_count: int


def profile(session: Session, *, user_id: str) -> PublicProfile:
    """Raises UserNotFound, for a disabled user too."""
    row = session.execute(
        select(User.id, User.username, User.display_name, User.avatar_url, User.bio, User.created_ms).where(
            User.id == user_id, User.status == "active"
        )
    ).one_or_none()
    if row is None:
        raise UserNotFound
    published = select(func.count()).where(Agent.creator_id == user_id, Agent.status == "published")
    return PublicProfile(
        id=row.id,
        username=row.username,
        display_name=row.display_name,
        avatar_url=row.avatar_url,
        bio=row.bio,
        created_ms=row.created_ms,
        agents_count=session.execute(published).scalar_one(),
    )
