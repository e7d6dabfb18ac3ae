"""Reading what jobs need of agents: the version that runs, an exact version, and whether someone has bought one."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Row, exists, func, or_, select
from sqlalchemy.orm import Session

from atelier.catalog.models import AGENTS, PURCHASES, VERSIONS
from atelier.catalog.runtime import RunnableAgent

A = AGENTS.c
V = VERSIONS.c
P = PURCHASES.c

_COLUMNS: tuple[ColumnElement[Any], ...] = (
    A.id,
    V.version,
    A.slug,
    A.name,
    A.creator_id,
    A.status,
    V.kind,
    V.price_type,
    V.credits_per_use,
    V.pricing,
    V.result_days,
    V.runtime,
    V.input_schema,
    V.config_schema,
    V.default_config,
)
_RUNNABLE = select(*_COLUMNS).select_from(AGENTS).join(VERSIONS, V.agent_id == A.id)
_NEWEST = select(func.max(V.version)).where(V.agent_id == A.id).correlate(AGENTS).scalar_subquery()
# What was never published can be tried out by its author: then it is the newest version that runs.
_CURRENT = _RUNNABLE.where(V.version == func.coalesce(func.nullif(A.version, 0), _NEWEST))


def runnable(session: Session, *, agent_id: str) -> RunnableAgent | None:
    """The live version of an agent, the newest one while none is live, whatever the agent's `status`."""
    return runnable_many(session, agent_ids=[agent_id]).get(agent_id)


def runnable_many(session: Session, *, agent_ids: Iterable[str]) -> dict[str, RunnableAgent]:
    """As `runnable`, for several agents in one statement; those that don't exist are left out."""
    rows = session.connection().execute(_CURRENT.where(A.id.in_(sorted(set(agent_ids)))))
    return {row.id: _agent(row) for row in rows}


def version(session: Session, *, agent_id: str, version: int) -> RunnableAgent | None:
    """Exactly this version, as a job recorded it."""
    row = session.connection().execute(_RUNNABLE.where(A.id == agent_id, V.version == version)).one_or_none()
    return _agent(row) if row else None


def purchased(session: Session, *, user_id: str, agent_id: str, now_ms: int) -> bool:
    """Whether the user has an active purchase of the agent that has not expired."""
    active = exists().where(
        P.user_id == user_id,
        P.agent_id == agent_id,
        P.active_slot == 1,
        or_(P.expires_ms.is_(None), P.expires_ms > now_ms),
    )
    return bool(session.connection().scalar(select(active)))


def _agent(row: Row[*tuple[Any, ...]]) -> RunnableAgent:
    runtime: dict[str, Any] = row.runtime
    return RunnableAgent(
        agent_id=row.id,
        version=row.version,
        slug=row.slug,
        name=row.name,
        creator_id=row.creator_id,
        status=row.status,
        kind=row.kind,
        price_type=row.price_type,
        credits_per_use=row.credits_per_use,
        pricing=row.pricing,
        result_days=row.result_days,
        provider=runtime["provider"],
        model=runtime["model"],
        prompt_template=runtime["promptTemplate"],
        parameter_mapping=runtime["parameterMapping"],
        input_schema=row.input_schema,
        config_schema=row.config_schema,
        default_config=row.default_config,
    )
