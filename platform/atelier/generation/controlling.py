"""Operators hold queues and providers back, and let them go again; each with a reason, in the operation log.

A paused one starts nothing: jobs are accepted and wait, what runs goes on. A draining one accepts nothing new and runs
what waits to its end: it is drained when nothing waits or runs.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from atelier.contracts import oplog, queues
from atelier.generation import probing, taking
from atelier.generation.probing import Probe
from atelier.generation.replaying import Act
from atelier.jobs import controls, states
from atelier.jobs.controls import Control
from atelier.jobs.lane_models import DRAINING, OPEN, PAUSED, PROVIDER, QUEUE
from atelier.jobs.models import ATTEMPTS, JOBS
from atelier.kernel import ids
from atelier.kernel.clock import HOUR_MS
from atelier.kernel.errors import NotFound

State = Literal["open", "paused", "draining"]
COUNTED_MAX = 10_000
OUTCOMES_MAX = 2_000
OUTCOMES_MS = HOUR_MS
J, A = JOBS.c, ATTEMPTS.c
_ACTIONS = {PAUSED: "PAUSE", DRAINING: "DRAIN", OPEN: "RESUME"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A queue or a provider now. `waiting` and `running` are counted up to COUNTED_MAX."""

    control: Control
    waiting: int
    running: int

    @property
    def drained(self) -> bool:
        """Whether it accepts nothing, and nothing is left in it."""
        return self.control.state == DRAINING and not self.waiting and not self.running


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderStanding(Standing):
    """A provider now, with how the newest attempts of the last hour went, and what came of the newest test."""

    outcomes: Mapping[str, int]
    probe: Probe | None
    now_ms: int


def queues_standing(session: Session) -> list[Standing]:
    """Every queue of jobs."""
    known = controls.standing(session)
    return [_queue(session, name, known) for name in queues.GENERATION.values()]


def providers_standing(session: Session, *, names: Collection[str], now_ms: int) -> list[ProviderStanding]:
    """These providers, and all others that were ever held back."""
    known = controls.standing(session)
    wanted = sorted({*names, *(name for kind, name in known if kind == PROVIDER)})
    outcomes = _outcomes(session, now_ms=now_ms)
    probes = probing.newest(session, providers=wanted)
    return [
        _provider(session, name, known, outcomes=outcomes.get(name, {}), probe=probes.get(name), now_ms=now_ms)
        for name in wanted
    ]


def hold(session: Session, *, kind: str, name: str, state: State, act: Act, window: int, now_ms: int) -> None:
    """Pause, drain or open a queue or a provider, whose name the caller has checked."""
    controls.hold(session, kind=kind, name=name, state=state, reason=act.reason, now_ms=now_ms)
    if state != PAUSED:
        # What is draining may have been paused before.
        taking.send_for(session, kind=kind, name=name, window=window, now_ms=now_ms)
    action = f"ADMIN_{kind.upper()}_{_ACTIONS[state]}"
    oplog.record(session, act.operation(action, resource_type=kind, resource_id=None, name=name), now_ms=now_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a provider may be asked for: jobs at once, starts in a minute, and how many of these at once."""

    in_flight_max: int | None
    per_minute: int | None
    burst: int


def limit(session: Session, *, provider: str, limits: Limits, act: Act, window: int, now_ms: int) -> None:
    """Give a provider these limits; None is no limit."""
    given = {"in_flight_max": limits.in_flight_max, "per_minute": limits.per_minute, "burst": limits.burst}
    controls.limit(
        session,
        provider=provider,
        in_flight_max=limits.in_flight_max,
        per_minute=limits.per_minute,
        burst=limits.burst,
        now_ms=now_ms,
    )
    taking.send_for(session, kind=PROVIDER, name=provider, window=window, now_ms=now_ms)
    operation = act.operation("ADMIN_PROVIDER_LIMITS", resource_type=PROVIDER, resource_id=None, name=provider, **given)
    oplog.record(session, operation, now_ms=now_ms)


def queue(session: Session, *, name: str) -> Standing:
    """One queue. Raises NotFound."""
    if name not in queues.GENERATION.values():
        raise NotFound(name)
    return _queue(session, name, controls.standing(session))


def provider(session: Session, *, name: str, names: Collection[str], now_ms: int) -> ProviderStanding:
    """One provider. Raises NotFound when it is neither one of these nor was ever held back."""
    found = [one for one in providers_standing(session, names=names, now_ms=now_ms) if one.control.name == name]
    if not found:
        raise NotFound(name)
    return found[0]


def _queue(session: Session, name: str, known: Mapping[tuple[str, str], Control]) -> Standing:
    return Standing(
        control=known.get((QUEUE, name), Control(kind=QUEUE, name=name)),
        waiting=_counted(session, and_(J.queue == name, J.state == states.PENDING)),
        running=_counted(session, and_(J.queue == name, J.state == states.RUNNING)),
    )


def _provider(
    session: Session,
    name: str,
    known: Mapping[tuple[str, str], Control],
    *,
    outcomes: Mapping[str, int],
    probe: Probe | None,
    now_ms: int,
) -> ProviderStanding:
    return ProviderStanding(
        control=known.get((PROVIDER, name), Control(kind=PROVIDER, name=name)),
        waiting=_counted(session, and_(J.provider == name, J.state == states.PENDING)),
        running=_counted(session, and_(J.provider == name, J.state == states.RUNNING)),
        outcomes=outcomes,
        probe=probe,
        now_ms=now_ms,
    )


def _counted(session: Session, condition: ColumnElement[bool]) -> int:
    some = select(J.id).where(condition).limit(COUNTED_MAX).subquery()
    return session.connection().execute(select(func.count()).select_from(some)).scalar_one()


def _outcomes(session: Session, *, now_ms: int) -> dict[str, Counter[str]]:
    """How the newest attempts at jobs of the last hour went, by provider."""
    rows: Sequence[tuple[str, str]] = [
        (row.provider, row.outcome)
        for row in session.connection().execute(
            select(A.provider, A.outcome)
            .where(A.job_id >= ids.floor(now_ms - OUTCOMES_MS))
            .order_by(A.job_id.desc())
            .limit(OUTCOMES_MAX)
        )
        if row.outcome is not None
    ]
    found: dict[str, Counter[str]] = {}
    for name, outcome in rows:
        found.setdefault(name, Counter())[outcome] += 1
    return found
