"""What holds queues and providers back: operators, limits, capacity answers, and a breaker.

A queue or provider is open, paused (nothing starts; jobs are accepted and wait; what runs goes on) or draining (nothing
new is accepted; what waits is run to its end). A provider may have limits: how many jobs run at once, how many start in
a minute. A provider that asks for patience, or fails several times in a row, is closed for a while; after failures one
job at a time tries it until one succeeds. Controls are locked before lanes.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import and_, case, func, insert, not_, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.jobs import states
from atelier.jobs.lane_models import CONTROLS, DRAINING, LANES, OPEN, PAUSED, PROVIDER
from atelier.jobs.models import JOBS
from atelier.kernel.clock import MINUTE_MS, SECOND_MS, db_now_ms
from atelier.kernel.database import Again, is_duplicate, matched

C = CONTROLS.c
J = JOBS.c
FAILURES_MAX = 5
CLOSED_MS = 30 * SECOND_MS
CLOSED_MS_MAX = 10 * MINUTE_MS
FLOOD_MAX = 500
UNLIMITED = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What holds a queue or a provider back, as it stands; the columns of `ControlRow`."""

    kind: str
    name: str
    state: str = OPEN
    reason: str | None = None
    changed_ms: int = 0
    in_flight_max: int | None = None
    per_minute: int | None = None
    burst: int = 1
    paced_ms: int = 0
    failures: int = 0
    closed_ms: int = 0
    closed_code: str | None = None
    owed: int = 0
    invited_ms: int = 0

    @property
    def is_suspect(self) -> bool:
        """Whether one job at a time is to try the provider."""
        return self.failures >= FAILURES_MAX

    @property
    def is_counted(self) -> bool:
        """Whether it matters how many jobs of the provider run, or started lately."""
        return self.in_flight_max is not None or self.per_minute is not None or self.is_suspect

    def room(self, *, running: int, now_ms: int, parked: int = 0) -> int:
        """How many jobs may start now, when so many run, `parked` ones among them."""
        if self.state == PAUSED or self.closed_ms > now_ms:
            return 0
        most = UNLIMITED if self.in_flight_max is None else self.in_flight_max - running
        if self.is_suspect:
            # What is parked was taken long ago, and may stay for long: it doesn't try the provider.
            most = min(most, 1 - (running - parked))
        return max(0, min(most, self._unpaced(now_ms)))

    def _unpaced(self, now_ms: int) -> int:
        if self.per_minute is None:
            return UNLIMITED
        every = MINUTE_MS / self.per_minute
        return int((now_ms + self.burst * every - max(self.paced_ms, now_ms)) / every + 1e-9)

    def open_again_ms(self, now_ms: int) -> int | None:
        """When it opens by itself: None when that takes somebody's doing, or it is open."""
        if self.state == PAUSED:
            return None
        if self.closed_ms > now_ms:
            return self.closed_ms
        if self.per_minute is not None and self._unpaced(now_ms) < 1:
            every = MINUTE_MS / self.per_minute
            return int(max(self.paced_ms, now_ms) - (self.burst - 1) * every) + 1
        return None


_COLUMNS = tuple(CONTROLS.columns)
_NAMES = tuple(column.name for column in _COLUMNS)
_STANDING = select(*_COLUMNS).order_by(C.kind, C.name)


def standing(session: Session, *, lock: Collection[tuple[str, str]] = ()) -> dict[tuple[str, str], Control]:
    """All controls by kind and name; or only those that are named in `lock`, locked."""
    query = _STANDING
    if lock:
        wanted = [(C.kind == kind) & (C.name == name) for kind, name in sorted(lock)]
        query = query.where(or_(*wanted)).with_for_update()
    rows = session.connection().execute(query)
    found = [Control(**dict(zip(_NAMES, row, strict=True))) for row in rows]
    return {(one.kind, one.name): one for one in found}


def running(session: Session, *, providers: Sequence[str]) -> dict[str, int]:
    """How many jobs of each of these providers run."""
    rows = session.connection().execute(
        select(J.provider, func.count())
        .where(J.provider.in_(list(providers)), J.state == states.RUNNING)
        .group_by(J.provider)
    )
    return {row[0]: row[1] for row in rows}


def parked(session: Session, *, provider: str) -> int:
    """How many of the running jobs of this provider are parked."""
    parked = select(func.count()).where(J.provider == provider, J.poll_ms > 0)
    return session.connection().execute(parked).scalar_one()


def room(session: Session, control: Control, *, running: int, now_ms: int) -> int:
    """How many jobs of this provider may start now, when so many run."""
    waits = parked(session, provider=control.name) if control.is_suspect and running else 0
    return control.room(running=running, now_ms=now_ms, parked=waits)


def started(session: Session, control: Control, *, count: int, now_ms: int) -> Control:
    """So many jobs of this provider, whose control is locked, start now; the control from now on."""
    if control.per_minute is None or not count:
        return control
    paced_ms = max(control.paced_ms, now_ms) + int(count * MINUTE_MS / control.per_minute)
    change(session, PROVIDER, control.name, paced_ms=paced_ms)
    return replace(control, paced_ms=paced_ms)


def change(session: Session, kind: str, name: str, **values: object) -> bool:
    """Give a control these values; False when there is none."""
    return matched(session, update(CONTROLS).where(C.kind == kind, C.name == name).values(**values)) == 1


def ensure(session: Session, kind: str, name: str) -> None:
    """Make a control that holds nothing back, unless there is one. Raises Again when it is made meanwhile."""
    there = session.connection().execute(select(C.name).where(C.kind == kind, C.name == name)).first()
    if there is not None:
        return
    try:
        session.connection().execute(insert(CONTROLS), {"kind": kind, "name": name})
    except IntegrityError as error:
        if is_duplicate(error):
            raise Again from error
        raise


def cool(session: Session, *, provider: str, wait_ms: int, code: str) -> None:
    """The provider has asked for patience: nothing of it starts for so long."""
    ensure(session, PROVIDER, provider)
    until = db_now_ms() + wait_ms
    session.connection().execute(
        update(CONTROLS)
        .where(C.kind == PROVIDER, C.name == provider, C.closed_ms < until)
        .values(closed_ms=until, closed_code=code)
    )


def failed(session: Session, *, provider: str, code: str) -> None:
    """The provider has failed once more. From a number in a row on it is closed, each time for longer.

    What fails while it is closed began before: that says nothing new.
    """
    ensure(session, PROVIDER, provider)
    closed = and_(C.failures >= FAILURES_MAX, C.closed_ms > db_now_ms())
    over = case((C.failures < FAILURES_MAX - 1, 0), else_=C.failures - (FAILURES_MAX - 1))
    # The doublings end where the longest time does: 30 s × 2^5 is more than ten minutes.
    times = case(*((over == n, 1 << n) for n in range(5)), else_=1 << 5)
    length = case((times * CLOSED_MS > CLOSED_MS_MAX, CLOSED_MS_MAX), else_=times * CLOSED_MS)
    session.connection().execute(
        update(CONTROLS)
        .where(C.kind == PROVIDER, C.name == provider, not_(closed))
        .ordered_values(
            (C.closed_ms, case((C.failures >= FAILURES_MAX - 1, db_now_ms() + length), else_=C.closed_ms)),
            (C.closed_code, case((C.failures >= FAILURES_MAX - 1, code), else_=C.closed_code)),
            (C.failures, C.failures + 1),
        )
    )


def rest_ms(session: Session, *, provider: str) -> int:
    """How long nothing of the provider starts from now on; 0 when it may."""
    rest = select(C.closed_ms - db_now_ms()).where(C.kind == PROVIDER, C.name == provider)
    return max(0, session.connection().execute(rest).scalar_one_or_none() or 0)


def succeeded(session: Session, *, provider: str) -> bool:
    """The provider works: False when nobody doubted it. A rest that it has asked for goes on."""
    broken = C.failures >= FAILURES_MAX
    return (
        matched(
            session,
            update(CONTROLS)
            .where(C.kind == PROVIDER, C.name == provider, C.failures > 0)
            .ordered_values(
                (C.closed_ms, case((broken, 0), else_=C.closed_ms)),
                (C.closed_code, case((broken, None), else_=C.closed_code)),
                (C.failures, 0),
            ),
        )
        == 1
    )


def hold(session: Session, *, kind: str, name: str, state: str, reason: str | None, now_ms: int) -> None:
    """Pause, drain or open a queue or a provider. Whoever opens one sends its `invitations`, too."""
    ensure(session, kind, name)
    opened: dict[str, object] = {"failures": 0, "closed_ms": 0, "closed_code": None} if state == OPEN else {}
    change(session, kind, name, state=state, reason=reason, changed_ms=now_ms, **opened)


def limit(
    session: Session, *, provider: str, in_flight_max: int | None, per_minute: int | None, burst: int, now_ms: int
) -> None:
    """Give a provider these limits. Whoever widens them sends `invitations`, too.

    What was started ahead of the old rate is paid back at the new one, and within a minute if that is slower.
    """
    ensure(session, PROVIDER, provider)
    was = standing(session, lock=[(PROVIDER, provider)])[PROVIDER, provider]
    db_ms: int = session.connection().execute(select(db_now_ms())).scalar_one()
    started = max(0, was.paced_ms - db_ms) * (was.per_minute or 0)
    paced_ms = db_ms + started // per_minute if per_minute and started else 0
    paced_ms = min(paced_ms, max(was.paced_ms, db_ms + MINUTE_MS))
    limits = {"in_flight_max": in_flight_max, "per_minute": per_minute, "burst": burst, "paced_ms": paced_ms}
    change(session, PROVIDER, provider, changed_ms=now_ms, **limits)


def invitations(session: Session, *, kind: str, name: str, window: int) -> list[tuple[str, str]]:
    """What to send when a queue or provider is open again: (queue, job) of jobs that wait for it, FLOOD_MAX at most.

    These are enough to begin with: each place that becomes free is offered again for as long as it is `owed`.
    """
    which = LANES.c.provider == name if kind == PROVIDER else LANES.c.queue == name
    lanes = session.connection().execute(
        select(LANES.c.queue, LANES.c.user_id, LANES.c.provider).where(which, LANES.c.open == 1).limit(FLOOD_MAX)
    )
    found: list[tuple[str, str]] = []
    for queue, user_id, provider in lanes.all():
        waiting = (
            select(J.id)
            .where(J.provider == provider, J.state == states.PENDING, J.queue == queue, J.user_id == user_id)
            .limit(min(window, FLOOD_MAX - len(found)))
        )
        found += [(queue, job_id) for job_id in session.connection().execute(waiting).scalars()]
        if len(found) >= FLOOD_MAX:
            break
    return found


def draining(session: Session) -> frozenset[tuple[str, str]]:
    """Which queues and providers accept nothing new."""
    rows = session.connection().execute(select(C.kind, C.name).where(C.state == DRAINING))
    return frozenset((row[0], row[1]) for row in rows)
