"""What authors propose and what becomes of it. The published agent stays as it is until a proposal is approved.

Everything that changes an agent locks its row first, so that two who change it at once come one after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from atelier.catalog import enacting, service
from atelier.catalog.authoring_models import DRAFTS
from atelier.catalog.definition import Definition
from atelier.catalog.errors import AgentArchived, AgentChanged, AgentNotFound, NotInReview
from atelier.catalog.models import AGENTS

A = AGENTS.c
D = DRAFTS.c
DraftStatus = Literal["draft", "review", "rejected"]
DRAFT: Final = "draft"
REVIEW: Final = "review"
REJECTED: Final = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An agent whose row is locked. `version` is the live one, 0 while there is none."""

    id: str
    creator_id: str
    slug: str
    name: str
    status: str
    version: int
    revision: int

    def require(self, revision: int | None) -> None:
        """Raise AgentChanged unless it is as the caller saw it; None is whoever didn't look."""
        if revision is not None and revision != self.revision:
            raise AgentChanged(revision=self.revision)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A proposal; a rejected one has a reason."""

    status: DraftStatus
    reason: str | None
    submitted_ms: int | None
    updated_ms: int
    definition: Definition


def held(session: Session, *, agent_id: str) -> Held:
    """The agent, locked until the transaction ends. Raises AgentNotFound."""
    columns = (A.id, A.creator_id, A.slug, A.name, A.status, A.version, A.revision)
    row = session.connection().execute(select(*columns).where(A.id == agent_id).with_for_update()).mappings().first()
    if row is None:
        raise AgentNotFound(agent_id)
    return Held(**row)


def draft(session: Session, *, agent_id: str) -> Draft | None:
    """The agent's proposal, if there is one."""
    row = session.connection().execute(select(DRAFTS).where(D.agent_id == agent_id)).one_or_none()
    if row is None:
        return None
    return Draft(
        status=row.status,
        reason=row.reason,
        submitted_ms=row.submitted_ms,
        updated_ms=row.updated_ms,
        definition=Definition.of(row.document),
    )


def newest(session: Session, *, agent_id: str) -> Definition:
    """What its author said last: the proposal, or what is published. Raises AgentNotFound."""
    current = draft(session, agent_id=agent_id)
    return current.definition if current else enacting.definition(session, agent_id=agent_id)


def create(
    session: Session,
    *,
    agent_id: str,
    creator_id: str,
    proposed: Definition,
    status: str,
    tag_ids: Sequence[str],
    now_ms: int,
) -> None:
    """Insert an agent that is proposed: `status` is "review", or "draft" while its author is still at it.

    Raises Invalid when the category doesn't exist.
    """
    enacting.insert_agent(
        session,
        agent_id=agent_id,
        creator_id=creator_id,
        proposed=proposed,
        status=status,
        tag_ids=tag_ids,
        now_ms=now_ms,
    )
    _propose(session, agent_id, proposed, status=status, submitted_ms=_submitted(status, now_ms), now_ms=now_ms)


def change(session: Session, agent: Held, *, proposed: Definition, tag_ids: Sequence[str], now_ms: int) -> bool:
    """Propose another definition; False when that changes nothing.

    An unpublished agent is changed itself. What is said of a published one waits for approval; to say what is
    published takes the proposal back. Raises AgentArchived, and Invalid when the category doesn't exist.
    """
    if agent.status == "archived":
        raise AgentArchived(agent.id)
    current = draft(session, agent_id=agent.id)
    if current and current.status != REJECTED and not proposed.changes(current.definition):
        return False
    enacting.check_category(session, proposed)
    if agent.version and not proposed.changes(enacting.definition(session, agent_id=agent.id)):
        if current is None:
            return False
        _withdraw(session, agent.id)
    else:
        status = DRAFT if current and current.status == DRAFT else REVIEW
        if not agent.version:
            _enact(session, agent, proposed, tag_ids=tag_ids, now_ms=now_ms)
        _propose(
            session, agent.id, proposed, status=status, submitted_ms=_since(current, status, now_ms), now_ms=now_ms
        )
        _follow(session, agent, status)
    _moved_on(session, agent.id)
    return True


def submit(session: Session, agent: Held, *, now_ms: int) -> bool:
    """Put a draft, or a rejected proposal as it is, before the administrators; False when it is there already.

    Raises NotInReview when there is nothing to decide.
    """
    current = draft(session, agent_id=agent.id)
    if current is None:
        raise NotInReview(agent.id)
    if current.status == REVIEW:
        return False
    values = {"status": REVIEW, "reason": None, "submitted_ms": now_ms, "updated_ms": now_ms}
    session.connection().execute(update(DRAFTS).where(D.agent_id == agent.id).values(**values))
    _follow(session, agent, REVIEW)
    _moved_on(session, agent.id)
    return True


def approve(session: Session, agent: Held, *, tag_ids: Sequence[str], now_ms: int) -> int:
    """Publish what is in review, findable from this transaction on; the number of the version that is live now.

    Raises NotInReview, and Invalid when its category is gone.
    """
    proposed = _in_review(session, agent).definition
    version = _enact(session, agent, proposed, tag_ids=tag_ids, now_ms=now_ms)
    service.publish(session, agent_id=agent.id, version=version, now_ms=now_ms)
    _withdraw(session, agent.id)
    _moved_on(session, agent.id)
    return version


def reject(session: Session, agent: Held, *, reason: str, now_ms: int) -> None:
    """Turn down what is in review. Raises NotInReview."""
    _in_review(session, agent)
    values = {"status": REJECTED, "reason": reason, "updated_ms": now_ms}
    session.connection().execute(update(DRAFTS).where(D.agent_id == agent.id).values(**values))
    _follow(session, agent, REJECTED)
    _moved_on(session, agent.id)


def archive(session: Session, agent: Held, *, now_ms: int) -> bool:
    """Take the agent off the marketplace for good; False when it is off already."""
    if agent.status == "archived":
        return False
    service.archive(session, agent_id=agent.id, now_ms=now_ms)
    _withdraw(session, agent.id)
    _moved_on(session, agent.id)
    return True


def _in_review(session: Session, agent: Held) -> Draft:
    current = draft(session, agent_id=agent.id)
    if current is None or current.status != REVIEW:
        raise NotInReview(agent.id)
    return current


def _enact(session: Session, agent: Held, proposed: Definition, *, tag_ids: Sequence[str], now_ms: int) -> int:
    shown = proposed.shown(slug=agent.slug, creator_id=agent.creator_id)
    return enacting.rewrite(session, agent_id=agent.id, proposed=proposed, shown=shown, tag_ids=tag_ids, now_ms=now_ms)


def _propose(
    session: Session, agent_id: str, proposed: Definition, *, status: str, submitted_ms: int | None, now_ms: int
) -> None:
    values = {
        "status": status,
        "document": proposed.document,
        "reason": None,
        "submitted_ms": submitted_ms,
        "updated_ms": now_ms,
    }
    is_there = select(D.agent_id).where(D.agent_id == agent_id)
    if session.connection().execute(is_there).first():
        session.connection().execute(update(DRAFTS).where(D.agent_id == agent_id).values(**values))
    else:
        session.connection().execute(insert(DRAFTS).values(agent_id=agent_id, created_ms=now_ms, **values))


def _withdraw(session: Session, agent_id: str) -> None:
    session.connection().execute(delete(DRAFTS).where(D.agent_id == agent_id))


def _follow(session: Session, agent: Held, status: str) -> None:
    """The status of an agent that was never published is that of its proposal; a rejected one is a draft again."""
    if not agent.version:
        own = REVIEW if status == REVIEW else DRAFT
        session.connection().execute(update(AGENTS).where(A.id == agent.id).values(status=own))


def _moved_on(session: Session, agent_id: str) -> None:
    session.connection().execute(update(AGENTS).where(A.id == agent_id).values(revision=A.revision + 1))


def _submitted(status: str, now_ms: int) -> int | None:
    return now_ms if status == REVIEW else None


def _since(current: Draft | None, status: str, now_ms: int) -> int | None:
    """When it was put into review: who corrects what waits already keeps the place in the queue."""
    waits = current is not None and current.status == REVIEW
    return current.submitted_ms if current and waits else _submitted(status, now_ms)
