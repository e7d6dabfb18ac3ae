"""What creators earn, as JSON or CSV."""

from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from atelier.kernel import clock
from atelier.kernel.clock import HOUR_MS
from atelier.marketplace import earnings
from atelier.marketplace.earnings import Line
from web import tables
from web.routing import Call, Endpoint
from web.schemas.earnings import EarningAnswer, EarningsAnswer, EarningsQuery, EarningsSummaryAnswer
from web.schemas.model import Pagination

LINES_PER_READ = 1_000
NO_STORE = "no-store"
COLUMNS = ("createdAt", "type", "agentId", "agentName", "amount", "share", "relatedType", "relatedId")


async def read_earnings(call: Call) -> EarningsAnswer | web.StreamResponse:
    """What the caller's agents have earned, share by share: a page of it as JSON, or all of it as CSV."""
    if tables.is_wanted(call):
        return await tables.send(call, _pages(call), name="earnings.csv", columns=COLUMNS)
    query: EarningsQuery = call.query
    found, total = await call.services.db.read(
        earnings.page,
        creator_id=call.user.user_id,
        from_ms=query.from_,
        until_ms=query.to,
        offset=query.offset,
        limit=query.limit,
    )
    lines = [EarningAnswer.of(one) for one in found]
    return EarningsAnswer(earnings=lines, pagination=Pagination.of(query, total=total))


async def read_summary(call: Call) -> EarningsSummaryAnswer:
    """What the caller's agents have earned today, in 30 days and in all."""
    offset_ms = call.services.settings.utc_offset_hours * HOUR_MS
    summary = await call.services.db.read(
        earnings.summary, creator_id=call.user.user_id, now_ms=call.now_ms, utc_offset_ms=offset_ms
    )
    return EarningsSummaryAnswer.of(summary)


async def _pages(call: Call) -> AsyncIterator[list[tuple[Any, ...]]]:
    """All of it, some lines at a time. What is paid meanwhile is newer than all of it."""
    query: EarningsQuery = call.query
    last: Line | None = None
    while True:
        found = await call.services.db.read(
            earnings.lines_before,
            creator_id=call.user.user_id,
            from_ms=query.from_,
            until_ms=query.to,
            last=last,
            limit=LINES_PER_READ,
        )
        yield [_row(EarningAnswer.of(one)) for one in found]
        if len(found) < LINES_PER_READ:
            return
        last = found[-1]


def _row(line: EarningAnswer) -> tuple[Any, ...]:
    at = clock.rfc3339(line.created_at)
    agent = line.agent
    return at, line.type, agent.id, agent.name, line.amount, line.share, line.related_type, line.related_id


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/creators/earnings",
        handler=read_earnings,
        summary=("创作收入明细", "Earnings"),
        tag="credits",
        query=EarningsQuery,
        answer=EarningsAnswer,
        media=(tables.MEDIA_TYPE,),
        cache=NO_STORE,
    ),
    Endpoint(
        method="GET",
        path="/api/creators/earnings/summary",
        handler=read_summary,
        summary=("创作收入汇总", "Earnings, summed up"),
        tag="credits",
        answer=EarningsSummaryAnswer,
        cache=NO_STORE,
    ),
)
