"""Gateways' books beside ours, day by day: what was compared, what differed, and comparing a day anew."""

from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from typing import Any

from aiohttp import hdrs, web

from atelier.accounts.sessions import Origin
from atelier.kernel.clock import rfc3339
from atelier.payments import reports
from atelier.payments.reports import Finding, Report, Rerun
from web import tables
from web.routing import Call, Endpoint
from web.schemas.admin_statements import (
    FindingsQuery,
    StatementAnswer,
    StatementDetailAnswer,
    StatementsAnswer,
    StatementsQuery,
)
from web.schemas.admin_users import ReasonBody

ROWS = 500
DAY_COLUMNS = (
    *("provider", "day", "status", "lines", "theirPayments", "theirPaymentsFen", "theirRefunds", "theirRefundsFen"),
    *("ourPayments", "ourPaymentsFen", "ourRefunds", "ourRefundsFen", "differences", "open", "finishedAt"),
)
FINDING_COLUMNS = (
    *("provider", "day", "kind", "orderNo", "paymentId", "theirsFen", "oursFen", "outcome", "caseId", "caseStatus"),
    "foundAt",
)


async def list_statements(call: Call) -> StatementsAnswer | web.StreamResponse:
    """Days, as JSON or CSV."""
    query: StatementsQuery = call.query
    if tables.is_wanted(call):
        return await tables.send(call, _days(call), name="statements.csv", columns=DAY_COLUMNS)
    found, total = await call.services.db.read(
        reports.page, wanted=query.wanted, offset=query.offset, limit=query.limit
    )
    return StatementsAnswer.of(found, total=total, query=query)


async def read_statement(call: Call) -> StatementDetailAnswer | web.StreamResponse:
    """A day with its differences, as JSON or CSV."""
    query: FindingsQuery = call.query
    report = await call.services.db.read(reports.one, statement_id=call.path["statementId"])
    if tables.is_wanted(call):
        name = f"{report.statement.provider}-{report.statement.day}.csv"
        return await tables.send(call, _findings(call, report), name=name, columns=FINDING_COLUMNS)
    found = await call.services.db.read(
        reports.findings, statement_id=report.statement.id, kind=query.kind, after=query.cursor, limit=query.rows
    )
    return StatementDetailAnswer.of(report, found, limit=query.rows)


async def rerun(call: Call) -> StatementAnswer:
    """Compare the day again."""
    body: ReasonBody = call.body
    origin = Origin.of(address=call.address, user_agent=call.request.headers.get(hdrs.USER_AGENT))
    wanted = Rerun(
        statement_id=call.path["statementId"],
        admin_id=call.user.user_id,
        reason=body.reason,
        address=origin.address,
        user_agent=origin.user_agent,
    )
    return StatementAnswer.of(await call.services.db.transact(reports.rerun, wanted, now_ms=call.now_ms))


async def _days(call: Call) -> AsyncIterator[Iterator[Sequence[Any]]]:
    query: StatementsQuery = call.query
    offset = 0
    while True:
        found, _ = await call.services.db.read(reports.page, wanted=query.wanted, offset=offset, limit=ROWS)
        yield map(_day_row, found)
        if len(found) < ROWS:
            return
        offset += ROWS


async def _findings(call: Call, report: Report) -> AsyncIterator[Iterator[Sequence[Any]]]:
    query: FindingsQuery = call.query
    after = query.cursor
    while True:
        found = await call.services.db.read(
            reports.findings, statement_id=report.statement.id, kind=query.kind, after=after, limit=ROWS
        )
        yield map(partial(_finding_row, report), found)
        if len(found) < ROWS:
            return
        after = found[-1].id


def _day_row(report: Report) -> Sequence[Any]:
    answer = StatementAnswer.of(report)
    sides = [value for side in (answer.theirs, answer.ours) for value in side.model_dump().values()]
    number, waiting = sum(one.number for one in report.found.values()), sum(one.open for one in report.found.values())
    return (
        *(answer.provider, answer.day, answer.status, answer.lines),
        *sides,
        *(number, waiting, rfc3339(answer.finished_at)),
    )


def _finding_row(report: Report, finding: Finding) -> Sequence[Any]:
    return (
        *(report.statement.provider, report.statement.day, finding.kind, finding.order_no, finding.payment_no),
        *(finding.theirs_fen, finding.ours_fen, finding.outcome, finding.case_id, finding.case_state),
        rfc3339(finding.created_ms),
    )


_admin = partial(Endpoint, tag="admin", auth="admin", cache="no-store")

ENDPOINTS = (
    _admin(
        method="GET",
        path="/api/admin/payments/statements",
        handler=list_statements,
        summary=("对账记录", "Days compared with gateways' books"),
        query=StatementsQuery,
        answer=StatementsAnswer,
        media=(tables.MEDIA_TYPE,),
    ),
    _admin(
        method="GET",
        path="/api/admin/payments/statements/{statementId}",
        handler=read_statement,
        summary=("对账详情", "A day and its differences"),
        query=FindingsQuery,
        answer=StatementDetailAnswer,
        media=(tables.MEDIA_TYPE,),
        errors=("NOT_FOUND",),
    ),
    _admin(
        method="POST",
        path="/api/admin/payments/statements/{statementId}/rerun",
        handler=rerun,
        summary=("重新对账", "Compare a day anew"),
        body=ReasonBody,
        answer=StatementAnswer,
        errors=("NOT_FOUND", "STATEMENT_TOO_OLD"),
    ),
)
