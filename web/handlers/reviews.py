"""What people think of agents."""

from typing import Any

from pydantic_core import to_json
from sqlalchemy.orm import Session

from atelier.contracts import idempotency
from atelier.contracts.idempotency import Keyed
from atelier.kernel.ids import new_id
from atelier.marketplace import detail as details
from atelier.marketplace import reviewing
from atelier.marketplace.detail import Reader
from atelier.marketplace.reviewing import Opinion, Signed
from web.routing import REPLAYED, Call, Endpoint, Reply
from web.schemas.model import PageQuery
from web.schemas.reviews import ReviewAnswer, ReviewBody, ReviewedAnswer, ReviewsAnswer


async def list_reviews(call: Call) -> ReviewsAnswer:
    """An agent's reviews, the newest first."""
    query: PageQuery = call.query
    identity = call.identity
    reader = Reader(
        user_id=identity.user_id if identity else None, admin=identity is not None and identity.role == "admin"
    )
    found, total = await call.services.db.read(
        _page, agent_id=call.path["agentId"], reader=reader, query=query, now_ms=call.now_ms
    )
    return ReviewsAnswer.of(found, total=total, query=query)


async def write_review(call: Call) -> Reply:
    """Review an agent that one has used or bought; sent again, the new review takes the place of the old one."""
    body: ReviewBody = call.body
    opinion = Opinion(
        review_id=new_id(),
        notice_id=new_id(),
        agent_id=call.path["agentId"],
        user_id=call.user.user_id,
        rating=body.rating,
        comment=body.comment or None,
    )
    status, answer, replayed = await call.services.db.transact(
        _write, opinion=opinion, keyed=call.keyed, now_ms=call.now_ms
    )
    return Reply(raw=to_json(answer), status=status, headers=REPLAYED if replayed else None)


def _page(
    session: Session, *, agent_id: str, reader: Reader, query: PageQuery, now_ms: int
) -> tuple[list[Signed], int]:
    details.visible(session, agent_id=agent_id, reader=reader, now_ms=now_ms)
    return reviewing.page(session, agent_id=agent_id, offset=query.offset, limit=query.limit)


def _write(session: Session, *, opinion: Opinion, keyed: Keyed | None, now_ms: int) -> tuple[int, Any, bool]:
    if stored := idempotency.find(session, keyed):
        return stored.status, stored.answer, True
    signed, is_new = reviewing.write(session, opinion, now_ms=now_ms)
    status = 201 if is_new else 200
    answer = ReviewedAnswer(review=ReviewAnswer.of(signed)).model_dump(mode="json", by_alias=True)
    idempotency.store(session, keyed, status=status, answer=answer, now_ms=now_ms)
    return status, answer, False


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/agents/{agentId}/reviews",
        handler=list_reviews,
        summary=("智能体评价", "List an agent's reviews"),
        tag="agents",
        auth="optional",
        query=PageQuery,
        answer=ReviewsAnswer,
        errors=("AGENT_NOT_FOUND",),
    ),
    Endpoint(
        method="POST",
        path="/api/agents/{agentId}/reviews",
        handler=write_review,
        summary=("评价智能体", "Review an agent"),
        tag="agents",
        body=ReviewBody,
        answer=ReviewedAnswer,
        status=201,
        also={200: ReviewedAnswer},
        errors=("AGENT_NOT_FOUND", "REVIEW_NOT_ALLOWED"),
        idempotent=True,
    ),
)
