"""Reviewing: who has used or bought an agent says what they think of it, and its creator is told."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.catalog import audience, drafts, reviews
from atelier.catalog.errors import AgentNotFound, ReviewNotAllowed
from atelier.catalog.models import PURCHASES
from atelier.catalog.reviews import Review
from atelier.catalog.seed_content import HOUSE_ID
from atelier.jobs import states
from atelier.jobs.models import JOBS
from atelier.marketplace import queries
from atelier.marketplace.queries import Creator
from atelier.notifications import service as notifications
from atelier.notifications.service import Notice

J = JOBS.c
P = PURCHASES.c
SHOWN = ("published", "archived")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What a user says of an agent. The ids are made by the caller, so that running twice is one review."""

    review_id: str
    notice_id: str
    agent_id: str
    user_id: str
    rating: int
    comment: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A review with who wrote it."""

    review: Review
    author: Creator


def write(session: Session, opinion: Opinion, *, now_ms: int) -> tuple[Signed, bool]:
    """Review an agent, or say something else about it: the review, and whether it is the user's first of this agent.

    Raises AgentNotFound, and ReviewNotAllowed for who has neither used nor bought it, and for its creator.
    """
    agent = drafts.held(session, agent_id=opinion.agent_id)
    if agent.status not in SHOWN or not agent.version:
        raise AgentNotFound(agent.id)
    if agent.creator_id == opinion.user_id or not _knows(session, opinion):
        raise ReviewNotAllowed(agent.id)
    written = reviews.write(
        session,
        agent,
        review_id=opinion.review_id,
        user_id=opinion.user_id,
        rating=opinion.rating,
        comment=opinion.comment,
        now_ms=now_ms,
    )
    if written.is_new and agent.creator_id != HOUSE_ID:
        data = {"agentName": agent.name, "rating": opinion.rating}
        notice = Notice(
            id=opinion.notice_id,
            user_id=agent.creator_id,
            kind="review_received",
            data=data,
            ref_type="agent",
            ref_id=agent.id,
        )
        notifications.notify(session, notice, now_ms=now_ms)
    return signed(session, [written.review])[0], written.is_new


def page(session: Session, *, agent_id: str, offset: int, limit: int) -> tuple[list[Signed], int]:
    """A page of an agent's reviews, the newest first, and how many there are."""
    found = reviews.newest(session, agent_id=agent_id, offset=offset, limit=limit)
    return signed(session, found), reviews.count(session, agent_id=agent_id)


def signed(session: Session, found: list[Review]) -> list[Signed]:
    """The reviews with their authors."""
    people = queries.people(session, user_ids={one.user_id for one in found})
    return [Signed(review=one, author=people[one.user_id]) for one in found]


def _knows(session: Session, opinion: Opinion) -> bool:
    if audience.uses(session, agent_id=opinion.agent_id, user_id=opinion.user_id):
        return True
    bought = select(P.id).where(P.user_id == opinion.user_id, P.agent_id == opinion.agent_id).limit(1)
    if session.connection().execute(bought).first():
        return True
    used = (
        select(J.id)
        .where(J.user_id == opinion.user_id, J.state == states.COMPLETED, J.agent_id == opinion.agent_id)
        .limit(1)
    )
    return session.connection().execute(used).first() is not None
