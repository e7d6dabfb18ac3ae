"""Administrators judge agents: the queue, what would change, approve, reject."""

from functools import partial

from aiohttp import hdrs

from atelier.accounts.sessions import Origin
from atelier.kernel.ids import new_id
from atelier.marketplace import deciding, studio
from atelier.marketplace import detail as details
from atelier.marketplace.deciding import Judge
from atelier.marketplace.detail import Reader
from web.handlers.authoring import VARY
from web.routing import Call, Endpoint, Reply
from web.schemas.admin_agents import ApproveBody, DecidedAnswer, JudgedAgentAnswer, RejectBody
from web.schemas.agent_body import TAGS_PER_AGENT
from web.schemas.studio import AdminAgentsQuery, StudioAnswer
from web.submissions import SUBMISSIONS


async def list_agents(call: Call) -> Reply:
    """Agents in every status; `status=review` is the queue, the longest waiting first."""
    query: AdminAgentsQuery = call.query
    items, total = await call.services.db.read(studio.page, wanted=query.wanted, offset=query.offset, limit=query.limit)
    return Reply(StudioAnswer.of(items, total=total, query=query, locale=call.locale), headers=VARY)


async def read_agent(call: Call) -> Reply:
    """One agent with what is proposed, and how that differs from what is published."""
    reader = Reader(user_id=call.user.user_id, admin=True)
    found = await call.services.db.read(
        details.detail, agent_id=call.path["agentId"], reader=reader, now_ms=call.now_ms
    )
    return Reply(JudgedAgentAnswer.judged(found, locale=call.locale), headers=VARY)


async def approve(call: Call) -> DecidedAnswer:
    """Publish what is in review; it is found from now on, and its author is told."""
    body: ApproveBody = call.body
    agent_id = call.path["agentId"]
    await call.services.db.transact(
        deciding.approve, judge=judge(call), agent_id=agent_id, revision=body.revision, now_ms=call.now_ms
    )
    call.request.app[SUBMISSIONS].agents.forget(agent_id)
    return DecidedAnswer(agent_id=agent_id, status="published")


async def reject(call: Call) -> DecidedAnswer:
    """Turn down what is in review; its author is told why, and may change it and submit it again."""
    body: RejectBody = call.body
    agent_id = call.path["agentId"]
    status = await call.services.db.transact(
        deciding.reject,
        judge=judge(call),
        agent_id=agent_id,
        reason=body.reason,
        revision=body.revision,
        now_ms=call.now_ms,
    )
    return DecidedAnswer(agent_id=agent_id, status=status)


def judge(call: Call) -> Judge:
    """The administrator who asks."""
    origin = Origin.of(address=call.address, user_agent=call.request.headers.get(hdrs.USER_AGENT))
    tag_ids = [new_id() for _ in range(TAGS_PER_AGENT)]
    return Judge(admin_id=call.user.user_id, origin=origin, notice_id=new_id(), tag_ids=tag_ids)


_admin = partial(Endpoint, tag="admin", auth="admin", cache="no-store")
_decide = partial(
    _admin, method="POST", answer=DecidedAnswer, errors=("AGENT_NOT_FOUND", "AGENT_CHANGED", "NOT_IN_REVIEW")
)

ENDPOINTS = (
    _admin(
        method="GET",
        path="/api/admin/agents",
        handler=list_agents,
        summary=("智能体管理", "List agents of every status"),
        query=AdminAgentsQuery,
        answer=StudioAnswer,
    ),
    _admin(
        method="GET",
        path="/api/admin/agents/{agentId}",
        handler=read_agent,
        summary=("审核智能体", "Look at an agent to judge it"),
        answer=JudgedAgentAnswer,
        errors=("AGENT_NOT_FOUND",),
    ),
    _decide(
        path="/api/admin/agents/{agentId}/approve",
        handler=approve,
        summary=("通过审核", "Approve an agent"),
        body=ApproveBody,
        body_optional=True,
    ),
    _decide(
        path="/api/admin/agents/{agentId}/reject",
        handler=reject,
        summary=("驳回", "Reject an agent"),
        body=RejectBody,
    ),
)
