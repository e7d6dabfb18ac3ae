"""Testing a provider: an operator asks, a worker makes one cheap call, and what came of it is kept to be looked at.

Whether a worker ever took it is decided from the row: what waits for a minute is sent again, and what nobody has
answered in ten has failed.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from atelier.contracts import oplog, outbox
from atelier.contracts.messages import PROVIDERS_TEST, ProbeMessage
from atelier.generation.models import PROBES
from atelier.generation.replaying import Act
from atelier.jobs import states
from atelier.jobs.lane_models import PROVIDER
from atelier.kernel.clock import MINUTE_MS
from atelier.kernel.database import matched

OVERDUE_MS = MINUTE_MS
LOST_MS = 10 * MINUTE_MS
SWEPT_MAX = 100
P = PROBES.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One test. `outcome` is None until a worker has made it, then `ok` or the code of what went wrong."""

    id: str
    provider: str
    outcome: str | None
    took_ms: int | None
    asked_by: str
    created_ms: int
    finished_ms: int | None


_COLUMNS = tuple(P[name] for name in Probe.__dataclass_fields__)
OK = "ok"


def ask(session: Session, *, probe_id: str, provider: str, act: Act, now_ms: int) -> Probe:
    """Have a worker test the provider, whose name the caller has checked."""
    row = {
        "id": probe_id,
        "provider": provider,
        "asked_by": act.admin_id,
        "created_ms": now_ms,
        "due_ms": now_ms + OVERDUE_MS,
    }
    session.connection().execute(insert(PROBES), row)
    outbox.enqueue(session, PROVIDERS_TEST, ProbeMessage(probe_id=probe_id), now_ms=now_ms)
    operation = act.operation("ADMIN_PROVIDER_TEST", resource_type=PROVIDER, resource_id=probe_id, name=provider)
    oplog.record(session, operation, now_ms=now_ms)
    return Probe(
        id=probe_id,
        provider=provider,
        outcome=None,
        took_ms=None,
        asked_by=act.admin_id,
        created_ms=now_ms,
        finished_ms=None,
    )


def waiting(session: Session, *, probe_id: str) -> str | None:
    """The provider that this test is about; None when it is over."""
    return (
        session.connection()
        .execute(select(P.provider).where(P.id == probe_id, P.finished_ms.is_(None)))
        .scalar_one_or_none()
    )


def finish(session: Session, *, probe_id: str, outcome: str, took_ms: int, now_ms: int) -> bool:
    """Keep what came of it; False when that is known already."""
    done = update(PROBES).where(P.id == probe_id, P.finished_ms.is_(None))
    return bool(matched(session, done.values(outcome=outcome, took_ms=took_ms, finished_ms=now_ms, due_ms=None)))


def newest(session: Session, *, providers: Collection[str]) -> Mapping[str, Probe]:
    """The newest test of each of these."""
    last = select(func.max(P.id)).where(P.provider.in_(list(providers))).group_by(P.provider).scalar_subquery()
    rows = session.connection().execute(select(*_COLUMNS).where(P.id.in_(last))).mappings()
    return {row["provider"]: Probe(**row) for row in rows}


def requeue_overdue(session: Session, *, now_ms: int) -> None:
    """Send again what no worker has answered, and give up what is too old."""
    rows = session.connection().execute(
        select(P.id, P.created_ms).where(P.due_ms <= now_ms).order_by(P.due_ms).limit(SWEPT_MAX)
    )
    for probe_id, created_ms in rows.all():
        if created_ms <= now_ms - LOST_MS:
            finish(session, probe_id=probe_id, outcome=states.ABANDONED, took_ms=now_ms - created_ms, now_ms=now_ms)
            continue
        session.connection().execute(update(PROBES).where(P.id == probe_id).values(due_ms=now_ms + OVERDUE_MS))
        outbox.enqueue(session, PROVIDERS_TEST, ProbeMessage(probe_id=probe_id), now_ms=now_ms)
