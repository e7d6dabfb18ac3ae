"""Administrators look at what money did and nobody had ordered, and resolve it."""

from functools import partial

from aiohttp import hdrs

from atelier.accounts.sessions import Origin
from atelier.generation.events import credits_changed
from atelier.kernel.errors import Invalid
from atelier.kernel.ids import new_id
from atelier.orders import resolutions
from atelier.orders.errors import CaseNotFound
from atelier.payments import resolving
from atelier.payments.resolving import Decision
from atelier.payments.settlement import SettlementIds
from web.live.service import LIVE
from web.routing import Call, Endpoint
from web.schemas.payment_cases import CaseAnswer, CasesAnswer, CasesQuery, ResolveBody
from web.submissions import SUBMISSIONS


async def list_cases(call: Call) -> CasesAnswer:
    """A page of cases."""
    query: CasesQuery = call.query
    found, total = await call.services.db.read(
        resolutions.page, wanted=query.wanted, offset=query.offset, limit=query.limit
    )
    return CasesAnswer.of(found, total=total, query=query)


async def read_case(call: Call) -> CaseAnswer:
    """One case."""
    case = await call.services.db.read(resolutions.find, case_id=call.path["caseId"])
    if case is None:
        raise CaseNotFound(call.path["caseId"])
    return CaseAnswer.of(case)


async def resolve_case(call: Call) -> CaseAnswer:
    """Resolve a case; `returning` when its money is to go back and the gateway has yet to say that it has."""
    body: ResolveBody = call.body
    _fit(body)
    resolved = await call.services.db.transact(resolving.resolve, _decision(call, body), now_ms=call.now_ms)
    call.request.app[SUBMISSIONS].wake()
    if account := resolved.account:
        call.request.app[LIVE].tell([(account.account_id, credits_changed(account))])
    return CaseAnswer.of(resolved.case)


def _fit(body: ResolveBody) -> None:
    if (body.credits is None) == (body.resolution == "credit"):
        raise Invalid([{"path": ["credits"], "message": "for credit, and only there", "code": "credits_of_case"}])
    if body.amount_fen is not None and body.resolution != "accept_refund":
        raise Invalid([{"path": ["amountFen"], "message": "for accept_refund only", "code": "amount_of_case"}])


def _decision(call: Call, body: ResolveBody) -> Decision:
    origin = Origin.of(address=call.address, user_agent=call.request.headers.get(hdrs.USER_AGENT))
    return Decision(
        case_id=call.path["caseId"],
        resolution=body.resolution,
        note=body.note,
        credits=body.credits,
        admin_id=call.user.user_id,
        amount_fen=body.amount_fen,
        ids=SettlementIds.made(new_id),
        refund_id=new_id(),
        address=origin.address,
        user_agent=origin.user_agent,
    )


_admin = partial(Endpoint, tag="admin", auth="admin", cache="no-store")

ENDPOINTS = (
    _admin(
        method="GET",
        path="/api/admin/payments/cases",
        handler=list_cases,
        summary=("支付异常列表", "List payment cases"),
        query=CasesQuery,
        answer=CasesAnswer,
    ),
    _admin(
        method="GET",
        path="/api/admin/payments/cases/{caseId}",
        handler=read_case,
        summary=("查看支付异常", "Read a payment case"),
        answer=CaseAnswer,
        errors=("NOT_FOUND",),
    ),
    _admin(
        method="POST",
        path="/api/admin/payments/cases/{caseId}/resolve",
        handler=resolve_case,
        summary=("处理支付异常", "Resolve a payment case"),
        body=ResolveBody,
        answer=CaseAnswer,
        errors=("NOT_FOUND", "CASE_RESOLVED", "RESOLUTION_UNSUITABLE", "ORDER_NOT_REFUNDABLE", "REFUND_TOO_LARGE"),
    ),
)
