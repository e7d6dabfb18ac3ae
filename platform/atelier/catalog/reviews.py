"""What people think of agents: one review per user and agent, and the average that follows in the same transaction."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from atelier.catalog.authoring_models import REVIEWS
from atelier.catalog.drafts import Held
from atelier.catalog.models import AGENTS

A = AGENTS.c
R = REVIEWS.c
ACTIVE = "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """A review. `comment` is None when only stars were given."""

    id: str
    agent_id: str
    user_id: str
    rating: int
    comment: str | None
    created_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The review as it stands, and whether it is the user's first of this agent."""

    review: Review
    is_new: bool


_COLUMNS = (R.id, R.agent_id, R.user_id, R.rating, R.comment, R.created_ms, R.updated_ms)


def write(
    session: Session, agent: Held, *, review_id: str, user_id: str, rating: int, comment: str | None, now_ms: int
) -> Written:
    """Review an agent, whose row is locked, or replace what the user said of it before."""
    mine = (R.agent_id == agent.id, R.user_id == user_id)
    before = session.connection().execute(select(REVIEWS).where(*mine)).one_or_none()
    if before is None:
        values = {"status": ACTIVE, "created_ms": now_ms, "updated_ms": now_ms}
        said = {"agent_id": agent.id, "user_id": user_id, "rating": rating, "comment": comment}
        session.connection().execute(insert(REVIEWS).values(id=review_id, **said, **values))
        _add(session, agent.id, count=1, stars=rating)
    else:
        session.connection().execute(
            update(REVIEWS).where(*mine).values(rating=rating, comment=comment, updated_ms=now_ms)
        )
        if before.status == ACTIVE:
            _add(session, agent.id, count=0, stars=rating - before.rating)
    row = session.connection().execute(select(*_COLUMNS).where(*mine)).mappings().one()
    return Written(review=Review(**row), is_new=before is None)


def newest(session: Session, *, agent_id: str, offset: int = 0, limit: int) -> list[Review]:
    """Active reviews of an agent, the newest first."""
    active = select(*_COLUMNS).where(R.agent_id == agent_id, R.status == ACTIVE)
    in_order = active.order_by(R.created_ms.desc(), R.id.desc()).offset(offset).limit(limit)
    return [Review(**row) for row in session.connection().execute(in_order).mappings()]


def count(session: Session, *, agent_id: str) -> int:
    """How many active reviews an agent has."""
    return session.connection().scalar(select(A.reviews_count).where(A.id == agent_id)) or 0


def average(stars: int, count: int) -> int:
    """In hundredths of a star, rounded to the nearest; 0 without any review."""
    return (100 * stars + count // 2) // count if count else 0


def recounted(session: Session, *, agent_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """What the reviews themselves say: agent → number and average. Agents without any are left out."""
    rows = session.connection().execute(
        select(R.agent_id, func.count(), func.sum(R.rating))
        .where(R.agent_id.in_(agent_ids), R.status == ACTIVE)
        .group_by(R.agent_id)
    )
    return {agent_id: (number, average(int(stars), number)) for agent_id, number, stars in rows}


def _add(session: Session, agent_id: str, *, count: int, stars: int) -> None:
    before = session.connection().execute(select(A.reviews_count, A.rating_sum).where(A.id == agent_id)).one()
    number, total = before.reviews_count + count, before.rating_sum + stars
    values = {"reviews_count": number, "rating_sum": total, "rating_avg": average(total, number)}
    session.connection().execute(update(AGENTS).where(A.id == agent_id).values(**values))
