"""What creators do with their agents: make, change, submit and archive them. Everything is logged where it happens."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atelier.accounts.models import User
from atelier.accounts.sessions import Origin
from atelier.catalog import drafts
from atelier.catalog.definition import Definition
from atelier.catalog.drafts import Held
from atelier.catalog.errors import AgentNotFound, TooManyUnpublished
from atelier.catalog.models import AGENTS
from atelier.contracts import oplog
from atelier.marketplace import icons

A = AGENTS.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who acts, from where. `tag_ids` are for tags that don't exist yet; made by the caller, one per tag."""

    user_id: str
    origin: Origin
    tag_ids: Sequence[str] = field(default=(), repr=False)


def create(
    session: Session,
    *,
    author: Author,
    agent_id: str,
    proposed: Definition,
    status: str,
    unpublished_max: int,
    now_ms: int,
) -> None:
    """Propose a new agent; run again for the same id, it does nothing.

    Raises TooManyUnpublished, and Invalid when the category doesn't exist.
    """
    if session.connection().execute(select(A.id).where(A.id == agent_id)).first():
        return
    _check_quota(session, author.user_id, unpublished_max=unpublished_max)
    drafts.create(
        session,
        agent_id=agent_id,
        creator_id=author.user_id,
        proposed=proposed,
        status=status,
        tag_ids=author.tag_ids,
        now_ms=now_ms,
    )
    _log(session, author, "AGENT_CREATE", agent_id=agent_id, now_ms=now_ms, status=status)


def change(
    session: Session, *, author: Author, agent_id: str, proposed: Definition, revision: int | None, now_ms: int
) -> None:
    """Propose another definition, with the picture that was there; with a revision only while it is the agent's.

    Raises AgentNotFound, AgentChanged, AgentArchived and Invalid.
    """
    agent = _own(session, author, agent_id, revision=revision)
    icon_url = drafts.newest(session, agent_id=agent_id).icon_url
    _propose(session, author, agent, replace(proposed, icon_url=icon_url), now_ms=now_ms)


def change_icon(session: Session, *, author: Author, agent_id: str, icon_url: str, now_ms: int) -> None:
    """Propose another picture, one of our own files. Raises AgentNotFound, AgentArchived."""
    agent = _own(session, author, agent_id)
    proposed = replace(drafts.newest(session, agent_id=agent_id), icon_url=icon_url)
    _propose(session, author, agent, proposed, now_ms=now_ms)


def submit(session: Session, *, author: Author, agent_id: str, now_ms: int) -> None:
    """Put the proposal before the administrators. Raises AgentNotFound, NotInReview."""
    agent = _own(session, author, agent_id)
    if drafts.submit(session, agent, now_ms=now_ms):
        _log(session, author, "AGENT_SUBMIT", agent_id=agent_id, now_ms=now_ms, revision=agent.revision + 1)


def archive(session: Session, *, author: Author, agent_id: str, now_ms: int) -> None:
    """Take the agent off the marketplace; who has bought it goes on using it. Raises AgentNotFound."""
    agent = _own(session, author, agent_id)
    with icons.tidied(session, agent_id=agent_id, now_ms=now_ms):
        if drafts.archive(session, agent, now_ms=now_ms):
            _log(session, author, "AGENT_ARCHIVE", agent_id=agent_id, now_ms=now_ms)


def _propose(session: Session, author: Author, agent: Held, proposed: Definition, *, now_ms: int) -> None:
    with icons.tidied(session, agent_id=agent.id, now_ms=now_ms):
        if drafts.change(session, agent, proposed=proposed, tag_ids=author.tag_ids, now_ms=now_ms):
            _log(session, author, "AGENT_UPDATE", agent_id=agent.id, now_ms=now_ms, revision=agent.revision + 1)


def _own(session: Session, author: Author, agent_id: str, *, revision: int | None = None) -> Held:
    agent = drafts.held(session, agent_id=agent_id)
    if agent.creator_id != author.user_id:
        raise AgentNotFound(agent_id)
    agent.require(revision)
    return agent


def _check_quota(session: Session, user_id: str, *, unpublished_max: int) -> None:
    # Two who are created at once must count each other, so the user's row is locked while they are counted.
    session.connection().execute(select(User.id).where(User.id == user_id).with_for_update())
    unpublished = select(func.count()).where(A.creator_id == user_id, A.status.in_(("draft", "review")))
    if (session.connection().scalar(unpublished) or 0) >= unpublished_max:
        raise TooManyUnpublished(limit=unpublished_max)


def _log(session: Session, author: Author, action: str, *, agent_id: str, now_ms: int, **details: str | int) -> None:
    operation = oplog.Operation(
        action=action,
        user_id=author.user_id,
        resource_type="agent",
        resource_id=agent_id,
        details=details,
        address=author.origin.address,
        user_agent=author.origin.user_agent,
    )
    oplog.record(session, operation, now_ms=now_ms)
