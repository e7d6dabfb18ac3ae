"""Agents as their creators make them: create, read, change, submit, archive."""

import hashlib
from functools import partial
from typing import Any

from aiohttp import hdrs
from pydantic_core import to_json
from sqlalchemy.orm import Session

from atelier.accounts.sessions import Origin
from atelier.catalog import proposals
from atelier.catalog.definition import Definition
from atelier.contracts import idempotency
from atelier.contracts.idempotency import Keyed
from atelier.files import service as files
from atelier.files.service import NewFile
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from atelier.marketplace import authoring, studio
from atelier.marketplace import detail as details
from atelier.marketplace.authoring import Author
from atelier.marketplace.detail import Reader
from atelier.providers import offers
from atelier.providers.offers import Offer
from web.messages import Locale
from web.routing import REPLAYED, Call, Endpoint, Reply
from web.schemas import agent_detail as wire
from web.schemas.agent_body import TAGS_PER_AGENT, AgentBody, AgentChangeBody
from web.schemas.agent_detail import AgentDetail, AgentInside
from web.schemas.auth import DoneAnswer
from web.schemas.studio import StudioAnswer, StudioQuery
from web.submissions import SUBMISSIONS
from web.views import VIEWS

VARY = {"Vary": "Accept-Language, Origin"}
BODY_MAX = 256 * 1024


async def create_agent(call: Call) -> Reply:
    """Propose an agent. It is shown and found as soon as an administrator has approved it."""
    body: AgentBody = call.body
    definition = proposals.define(body.proposal, offers=offered(call.services.settings))
    return await created(call, definition, status="review", keyed=call.keyed)


async def read_agent(call: Call) -> Reply:
    """One agent; its creator and administrators see unpublished ones too, what it runs and what is proposed."""
    identity, agent_id = call.identity, call.path["agentId"]
    reader = Reader(
        user_id=identity.user_id if identity else None, admin=identity is not None and identity.role == "admin"
    )
    found = await call.services.db.read(details.detail, agent_id=agent_id, reader=reader, now_ms=call.now_ms)
    if not found.listed.inside and call.request.method == hdrs.METH_GET:
        call.request.app[VIEWS].saw(call, agent_id)
    body = wire.answer(found, locale=call.locale).model_dump_json().encode()
    headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"', **VARY}
    if call.unchanged(headers["ETag"]):
        return Reply(status=304, headers=headers)
    return Reply(raw=body, headers=headers)


async def change_agent(call: Call) -> Reply:
    """Say anew what the agent is. What is published stays so until an administrator approves the change."""
    body: AgentChangeBody = call.body
    definition = proposals.define(body.proposal, offers=offered(call.services.settings))
    return await _changed(call, authoring.change, proposed=definition, revision=body.revision)


async def submit_agent(call: Call) -> Reply:
    """Put a draft, or a rejected proposal, before the administrators."""
    return await _changed(call, authoring.submit)


async def archive_agent(call: Call) -> DoneAnswer:
    """Take the agent off the marketplace. Who has bought it goes on using it; running jobs run on."""
    await call.services.db.transact(
        authoring.archive, author=author(call), agent_id=call.path["agentId"], now_ms=call.now_ms
    )
    call.request.app[SUBMISSIONS].agents.forget(call.path["agentId"])
    return DoneAnswer()


async def list_own_agents(call: Call) -> Reply:
    """The caller's agents in every status, the newest first, with what is proposed and why it was rejected."""
    query: StudioQuery = call.query
    items, total = await call.services.db.read(
        studio.page, wanted=query.of_creator(call.user.user_id), offset=query.offset, limit=query.limit
    )
    return Reply(StudioAnswer.of(items, total=total, query=query, locale=call.locale), headers=VARY)


async def created(
    call: Call, definition: Definition, *, status: str, keyed: Keyed | None, icon: NewFile | None = None
) -> Reply:
    """Insert the agent with its icon, once for each key, and answer it."""
    answer, is_new = await call.services.db.transact(
        _create,
        author=author(call),
        agent_id=new_id(),
        proposed=definition,
        status=status,
        unpublished_max=call.services.settings.unpublished_agents_max,
        icon=icon,
        keyed=keyed,
        locale=call.locale,
        now_ms=call.now_ms,
    )
    headers = {"Location": f"/api/agents/{answer['id']}", **({} if is_new else REPLAYED)}
    return Reply(raw=to_json(answer), status=201, headers={**headers, **VARY})


def author(call: Call) -> Author:
    """Who asks, with ids for tags that nobody has used yet."""
    origin = Origin.of(address=call.address, user_agent=call.request.headers.get(hdrs.USER_AGENT))
    return Author(user_id=call.user.user_id, origin=origin, tag_ids=[new_id() for _ in range(TAGS_PER_AGENT)])


def offered(settings: Settings) -> dict[str, Offer]:
    """The providers that agents of this installation may name."""
    return offers.offers(
        openai=bool(settings.openai_url),
        kling=bool(settings.kling_secret_key.get_secret_value()),
        openai_models=offers.model_names(settings.openai_models),
        development=settings.environment == "development",
    )


def _create(
    session: Session,
    /,
    *,
    author: Author,
    agent_id: str,
    icon: NewFile | None,
    keyed: Keyed | None,
    locale: Locale,
    now_ms: int,
    **new: Any,
) -> tuple[Any, bool]:
    if stored := idempotency.find(session, keyed):
        return stored.answer, False
    if icon:
        files.add(session, icon, quota=None, keyed=None, now_ms=now_ms)
    authoring.create(session, author=author, agent_id=agent_id, now_ms=now_ms, **new)
    answer = inside(session, author=author, agent_id=agent_id, locale=locale, now_ms=now_ms)
    idempotency.store(session, keyed, status=201, answer=answer, now_ms=now_ms)
    return answer, True


async def _changed(call: Call, change: Any, **to: Any) -> Reply:
    answer = await call.services.db.transact(
        _change,
        change=change,
        author=author(call),
        agent_id=call.path["agentId"],
        locale=call.locale,
        now_ms=call.now_ms,
        **to,
    )
    call.request.app[SUBMISSIONS].agents.forget(call.path["agentId"])
    return Reply(raw=to_json(answer), headers=VARY)


def _change(
    session: Session, /, *, change: Any, author: Author, agent_id: str, locale: Locale, now_ms: int, **to: Any
) -> Any:
    change(session, author=author, agent_id=agent_id, now_ms=now_ms, **to)
    return inside(session, author=author, agent_id=agent_id, locale=locale, now_ms=now_ms)


def inside(session: Session, *, author: Author, agent_id: str, locale: Locale, now_ms: int) -> Any:
    """The agent as its author sees it, as JSON values."""
    reader = Reader(user_id=author.user_id)
    found = details.detail(session, agent_id=agent_id, reader=reader, now_ms=now_ms)
    return wire.answer(found, locale=locale).model_dump(mode="json", by_alias=True)


_agents = partial(Endpoint, tag="agents")
_one = partial(_agents, path="/api/agents/{agentId}")
_DECIDED = ("AGENT_NOT_FOUND", "AGENT_CHANGED", "AGENT_ARCHIVED")

ENDPOINTS = (
    _agents(
        method="POST",
        path="/api/agents",
        handler=create_agent,
        summary=("创建智能体", "Create an agent"),
        body=AgentBody,
        body_max=BODY_MAX,
        answer=AgentInside,
        status=201,
        errors=("TOO_MANY_UNPUBLISHED",),
        gives=("Location",),
        rate="author",
        idempotent=True,
    ),
    _agents(
        method="GET",
        path="/api/agents/mine",
        handler=list_own_agents,
        summary=("我的智能体", "List own agents"),
        query=StudioQuery,
        answer=StudioAnswer,
    ),
    _one(
        method="GET",
        handler=read_agent,
        summary=("查看智能体", "Read an agent"),
        auth="optional",
        answer=AgentDetail | AgentInside,
        also={304: None},
        takes=("If-None-Match",),
        gives=("ETag",),
        errors=("AGENT_NOT_FOUND",),
    ),
    _one(
        method="PUT",
        handler=change_agent,
        summary=("修改智能体", "Change an agent"),
        body=AgentChangeBody,
        body_max=BODY_MAX,
        answer=AgentInside,
        errors=_DECIDED,
        rate="author",
    ),
    _one(
        method="DELETE",
        handler=archive_agent,
        summary=("下架智能体", "Archive an agent"),
        answer=DoneAnswer,
        errors=("AGENT_NOT_FOUND",),
    ),
    _agents(
        method="POST",
        path="/api/agents/{agentId}/submit",
        handler=submit_agent,
        summary=("提交审核", "Submit an agent for review"),
        answer=AgentInside,
        errors=("AGENT_NOT_FOUND", "NOT_IN_REVIEW"),
        rate="author",
    ),
)
