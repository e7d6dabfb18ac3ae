"""What creators earn, as JSON or CSV."""

import csv
import io

from atelier.kernel import clock
from atelier.kernel.clock import HOUR_MS
from atelier.marketplace import earnings
from web.routing import Call, Endpoint, Reply
from web.schemas.earnings import EarningAnswer, EarningsAnswer, EarningsQuery, EarningsSummaryAnswer
from web.schemas.model import Pagination

CSV_MAX = 10_000
NO_STORE = "no-store"
COLUMNS = ("createdAt", "type", "agentId", "agentName", "amount", "share", "relatedType", "relatedId")


async def read_earnings(call: Call) -> EarningsAnswer | Reply:
    """What the caller's agents have earned, share by share."""
    query: EarningsQuery = call.query
    as_csv = call.request.headers.get("Accept", "").startswith("text/csv")
    found, total = await call.services.db.read(
        earnings.page,
        creator_id=call.user.user_id,
        from_ms=query.from_,
        until_ms=query.to,
        offset=0 if as_csv else query.offset,
        limit=CSV_MAX if as_csv else query.limit,
    )
    lines = [EarningAnswer.of(one) for one in found]
    if as_csv:
        headers = {"Content-Disposition": 'attachment; filename="earnings.csv"'}
        return Reply(raw=_as_csv(lines), content_type="text/csv; charset=utf-8", headers=headers)
    return EarningsAnswer(earnings=lines, pagination=Pagination.of(query, total=total))


async def read_summary(call: Call) -> EarningsSummaryAnswer:
    """What the caller's agents have earned today, in 30 days and in all."""
    offset_ms = call.services.settings.utc_offset_hours * HOUR_MS
    summary = await call.services.db.read(
        earnings.summary, creator_id=call.user.user_id, now_ms=call.now_ms, utc_offset_ms=offset_ms
    )
    return EarningsSummaryAnswer.of(summary)


def _as_csv(lines: list[EarningAnswer]) -> bytes:
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(COLUMNS)
    for line in lines:
        # A spreadsheet runs a cell that begins with one of these as a formula.
        name = f"'{line.agent.name}" if line.agent.name[:1] in "=+-@\t" else line.agent.name
        at = clock.rfc3339(line.created_at)
        writer.writerow(
            [at, line.type, line.agent.id, name, line.amount, line.share, line.related_type, line.related_id]
        )
    return "\ufeff".encode() + table.getvalue().encode()


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/creators/earnings",
        handler=read_earnings,
        summary=("创作收入明细", "Earnings"),
        tag="credits",
        query=EarningsQuery,
        answer=EarningsAnswer,
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
