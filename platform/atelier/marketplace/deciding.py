"""What administrators decide about agents and categories. Each decision is logged and told in its own transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy.orm import Session

from atelier.accounts.sessions import Origin
from atelier.catalog import drafts
from atelier.catalog.drafts import Held
from atelier.contracts import oplog
from atelier.marketplace import icons
from atelier.notifications import service as notifications
from atelier.notifications.service import Notice

AfterRejection = Literal["draft", "published"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Which administrator, from where. The ids are made by the caller, so that running twice is one decision."""

    admin_id: str
    origin: Origin
    notice_id: str = field(default="", repr=False)
    tag_ids: Sequence[str] = field(default=(), repr=False)


def approve(session: Session, *, judge: Judge, agent_id: str, revision: int | None, now_ms: int) -> None:
    """Publish what is in review. Raises AgentNotFound, AgentChanged, NotInReview."""
    agent = _seen(session, agent_id, revision)
    name = _proposed_name(session, agent)
    with icons.tidied(session, agent_id=agent_id, now_ms=now_ms):
        version = drafts.approve(session, agent, tag_ids=judge.tag_ids, now_ms=now_ms)
    _decided(session, judge, agent, action="ADMIN_AGENT_APPROVE", now_ms=now_ms, version=version)
    _tell(session, judge, agent, kind="agent_approved", now_ms=now_ms, agentName=name)


def reject(
    session: Session, *, judge: Judge, agent_id: str, reason: str, revision: int | None, now_ms: int
) -> AfterRejection:
    """Turn down what is in review; the status of the agent then. Raises AgentNotFound, AgentChanged, NotInReview."""
    agent = _seen(session, agent_id, revision)
    name = _proposed_name(session, agent)
    drafts.reject(session, agent, reason=reason, now_ms=now_ms)
    _decided(session, judge, agent, action="ADMIN_AGENT_REJECT", now_ms=now_ms, reason=reason)
    _tell(session, judge, agent, kind="agent_rejected", now_ms=now_ms, agentName=name, reason=reason)
    return "published" if agent.version else "draft"


def log(
    session: Session,
    judge: Judge,
    *,
    action: str,
    resource_type: str,
    resource_id: str,
    details: Mapping[str, Any],
    now_ms: int,
) -> None:
    """Log what an administrator did to a thing."""
    operation = oplog.Operation(
        action=action,
        user_id=judge.admin_id,
        resource_type=resource_type,
        resource_id=resource_id,
        details=details,
        address=judge.origin.address,
        user_agent=judge.origin.user_agent,
    )
    oplog.record(session, operation, now_ms=now_ms)


def _decided(session: Session, judge: Judge, agent: Held, *, action: str, now_ms: int, **details: str | int) -> None:
    log(
        session,
        judge,
        action=action,
        resource_type="agent",
        resource_id=agent.id,
        details={"revision": agent.revision, **details},
        now_ms=now_ms,
    )


def _seen(session: Session, agent_id: str, revision: int | None) -> Held:
    agent = drafts.held(session, agent_id=agent_id)
    agent.require(revision)
    return agent


def _proposed_name(session: Session, agent: Held) -> str:
    current = drafts.draft(session, agent_id=agent.id)
    return current.definition.name if current else agent.name


def _tell(session: Session, judge: Judge, agent: Held, *, kind: str, now_ms: int, **data: str) -> None:
    notice = Notice(
        id=judge.notice_id, user_id=agent.creator_id, kind=kind, data=data, ref_type="agent", ref_id=agent.id
    )
    notifications.notify(session, notice, now_ms=now_ms)
