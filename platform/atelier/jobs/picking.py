"""Which jobs are next: round robin between users, by rank within a lane, as far as limits allow.

Which user has been served least lately is next, so that one with thousands of waiting jobs delays another by one job.
What is looked at doesn't grow with the backlog: as many lanes as there are places, and the front of each.

1. Which lanes come into question: the first open ones of each provider, and those of the jobs that were asked for.
2. They are locked; then the front of each is read, and how many jobs its user has running.
3. Places are dealt out, one per lane and round. Lanes without due jobs are closed, and so are those of users who have
   as many running as may be; what could not be dealt out is owed by what held it back.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import Executable, Integer, ScalarSelect, and_, bindparam, func, select, union_all
from sqlalchemy.orm import Session

from atelier.jobs import controls, lanes, states
from atelier.jobs.controls import Control
from atelier.jobs.lane_models import LANES, PAUSED, PROVIDER, QUEUE
from atelier.jobs.lanes import Lane, LaneKey
from atelier.jobs.models import JOBS
from atelier.kernel.clock import db_now_ms
from atelier.kernel.database import any_of

J = JOBS.c
L = LANES.c
ROUNDS_MAX = 64
SPARE = 8
"""So many lanes more than places are looked at: some may turn out to have nothing to give."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """An invitation to send: for this job's queue, after `wait_ms`."""

    queue: str
    job_id: str
    wait_ms: int = 0


@dataclass(slots=True)
class Picked:
    """Ids of the jobs to claim, invitations to send, and the providers that have failed lately."""

    job_ids: list[str] = field(default_factory=list[str])
    later: list[Later] = field(default_factory=list[Later])
    doubted: frozenset[str] = frozenset()


class _Asked(NamedTuple):
    id: str
    lane: LaneKey
    due: bool
    abandoned: bool
    now_ms: int


class _Front(NamedTuple):
    running: int
    first: str | None
    second: str | None


def pick(session: Session, *, asked: Sequence[str], places: int, window: int, providers: Iterable[str]) -> Picked:
    """The jobs to run in the places that these messages stand for, one each, and `places` at most.

    `window` is how many jobs of a user may run in a queue; `providers` are those whose lanes are looked at.
    """
    found = _asked(session, asked)
    if not found:
        return Picked()
    known = controls.standing(session)
    picked = Picked([one.id for one in found if one.abandoned and _is_free(one, known)][:places])
    rest: dict[str, list[_Asked]] = {}
    for one in found:
        if one.id not in picked.job_ids and len(picked.job_ids) + sum(map(len, rest.values())) < places:
            rest.setdefault(one.lane.queue, []).append(one)
    picked.doubted = frozenset(name for (kind, name), one in known.items() if kind == PROVIDER and one.failures)
    for queue, messages in rest.items():
        _Round(session, queue, messages, window=window, providers=frozenset(providers)).deal(known, picked)
    return picked


def _is_free(one: _Asked, known: Mapping[tuple[str, str], Control]) -> bool:
    """Whether nothing holds this abandoned job back. If something does, the sweeper puts it back into its lane."""
    provider, queue = known.get((PROVIDER, one.lane.provider)), known.get((QUEUE, one.lane.queue))
    if queue is not None and queue.room(running=0, now_ms=one.now_ms) == 0:
        return False
    return provider is None or not (provider.is_counted or provider.room(running=0, now_ms=one.now_ms) == 0)


def _asked(session: Session, job_ids: Sequence[str]) -> list[_Asked]:
    rows = session.connection().execute(_ASKED, {"job_ids": job_ids})
    return [_Asked(row[0], LaneKey(row[1], row[2], row[3]), bool(row[4]), bool(row[5]), row[6]) for row in rows]


_ASKED = select(
    J.id,
    J.queue,
    J.user_id,
    J.provider,
    and_(J.state == states.PENDING, J.run_after_ms <= db_now_ms()),
    and_(J.state == states.RUNNING, J.lease_ms < db_now_ms()),
    db_now_ms(),
).where(J.id.in_(any_of("job_ids")))


class _Round:
    """The deal of one queue's places."""

    def __init__(
        self, session: Session, queue: str, messages: Sequence[_Asked], *, window: int, providers: frozenset[str]
    ) -> None:
        self._session = session
        self._queue = queue
        self._window = window
        self._now_ms = messages[0].now_ms
        self._message = messages[0].id
        self._due = {one.lane for one in messages if one.due}
        self._providers = providers | {lane.provider for lane in self._due}
        self._places = len(messages)
        self._rooms: dict[str, int] = {}
        self._seen: set[LaneKey] = set()
        self._lanes: dict[str, list[Lane]] = {}
        self._dealt: dict[LaneKey, list[str]] = {}

    def deal(self, known: Mapping[tuple[str, str], Control], picked: Picked) -> None:
        """Deal out the places."""
        known = self._with_locks(known)
        queue = known.get((QUEUE, self._queue))
        if queue is not None and queue.room(running=0, now_ms=self._now_ms) == 0:
            self._keep_open(self._due)
            self._owe(queue, picked)
            return
        held_back = [known[PROVIDER, name] for name in sorted(self._providers) if (PROVIDER, name) in known]
        self._count(held_back)
        self._reopen(held_back, picked)
        self._keep_open(lane for lane in self._due if not self._rooms.get(lane.provider, 1))
        for _ in range(ROUNDS_MAX):
            candidates = self._candidates() if self._places else []
            self._deal(candidates)
            if not candidates:
                break
        else:
            # There are more lanes that have nothing to give than one transaction should look at: somebody goes on.
            picked.later.append(Later(queue=self._queue, job_id=self._message))
        picked.job_ids += [job_id for job_ids in self._dealt.values() for job_id in job_ids]
        if queue is not None and queue.owed and not self._seen:
            controls.change(self._session, QUEUE, queue.name, owed=0)
        for control in held_back:
            self._go_on(control, picked)

    def _with_locks(self, known: Mapping[tuple[str, str], Control]) -> Mapping[tuple[str, str], Control]:
        """The same; controls that count are locked, and as they are now."""
        mine = {(PROVIDER, name) for name in self._providers} & known.keys()
        counted = [key for key in mine if known[key].is_counted or known[key].closed_ms or known[key].state == PAUSED]
        queue = known.get((QUEUE, self._queue))
        if queue is not None and queue.state == PAUSED:
            counted.append((QUEUE, queue.name))
        return {**known, **controls.standing(self._session, lock=counted)} if counted else known

    def _count(self, held_back: Sequence[Control]) -> None:
        counted = [one.name for one in held_back if one.in_flight_max is not None or one.is_suspect]
        running = controls.running(self._session, providers=counted) if counted else {}
        for one in held_back:
            self._rooms[one.name] = controls.room(
                self._session, one, running=running.get(one.name, 0), now_ms=self._now_ms
            )

    def _reopen(self, held_back: Sequence[Control], picked: Picked) -> None:
        """Whoever finds that a provider's time of rest is over sends for those who were turned away in it."""
        for one in held_back:
            if 0 < one.closed_ms <= self._now_ms:
                controls.change(self._session, PROVIDER, one.name, closed_ms=0, closed_code=None)
                if one.owed and not one.is_suspect:
                    waiting = controls.invitations(self._session, kind=PROVIDER, name=one.name, window=self._window)
                    picked.later += [Later(queue=queue, job_id=job_id) for queue, job_id in waiting]

    def _keep_open(self, keys: Iterable[LaneKey]) -> None:
        """These lanes have due jobs that can't start: whoever may start them must find them."""
        if blocked := sorted(keys):
            lanes.change(self._session, blocked, open=1)

    def _go_on(self, control: Control, picked: Picked) -> None:
        """What is owed because of this provider, now that jobs of it were dealt out, or could not be."""
        count = sum(len(job_ids) for lane, job_ids in self._dealt.items() if lane.provider == control.name)
        control = controls.started(self._session, control, count=count, now_ms=self._now_ms)
        if self._places and not self._rooms[control.name]:
            self._owe(control, picked)
        elif count and control.owed and control.per_minute is not None:
            # No end of a job makes room for the next: whoever starts one sends for it.
            again_ms = control.open_again_ms(self._now_ms) or self._now_ms
            picked.later.append(Later(queue=self._queue, job_id=self._message, wait_ms=again_ms - self._now_ms))
        elif (
            control.owed and self._rooms[control.name] and not any(lane.provider == control.name for lane in self._seen)
        ):
            controls.change(self._session, PROVIDER, control.name, owed=0)

    def _owe(self, control: Control, picked: Picked) -> None:
        """Invitations are dropped because of this control: one is sent for when it opens by itself."""
        again_ms = control.open_again_ms(self._now_ms)
        changed: dict[str, int] = {} if control.owed else {"owed": 1}
        if again_ms is not None and not self._now_ms < control.invited_ms <= again_ms:
            changed["invited_ms"] = again_ms
            picked.later.append(Later(queue=self._queue, job_id=self._message, wait_ms=again_ms - self._now_ms))
        if changed:
            controls.change(self._session, control.kind, control.name, **changed)

    def _candidates(self) -> list[Lane]:
        open_ = [name for name in sorted(self._providers) if self._rooms.get(name, 1) > 0]
        limit = self._places + SPARE
        first = _first(self._session, queue=self._queue, providers=open_, limit=limit) if open_ else []
        wanted = {*first, *(lane for lane in self._due if lane.provider in open_)} - self._seen
        if not wanted:
            return []
        self._seen |= wanted
        locked = lanes.lock(self._session, wanted)
        found = {key: locked.get(key, Lane(key, 0, open=True, owed=False)) for key in wanted}
        before = Counter[str]()
        places: list[tuple[int, Lane]] = []
        for lane in sorted(found.values(), key=lambda lane: (lane.turn_ms, lane.key)):
            places.append((before[lane.key.user_id], lane))
            before[lane.key.user_id] += 1
        self._lanes = {}
        for lane in (locked | found).values():
            self._lanes.setdefault(lane.key.user_id, []).append(lane)
        # A user's second lane comes after the first of everybody.
        return [lane for _, lane in sorted(places, key=lambda place: place[0])]

    def _deal(self, candidates: Sequence[Lane]) -> None:
        if not candidates:
            return
        fronts = _fronts(self._session, [lane.key for lane in candidates])
        users = Counter({key.user_id: front.running for key, front in fronts.items()})
        more: list[LaneKey] = []
        empty: list[LaneKey] = []
        for lane in candidates:
            front = fronts.get(lane.key)
            first, second = (front.first, front.second) if front else (None, None)
            given = first is not None and self._give(lane.key, first, users)
            if second is not None:
                more.append(lane.key)
            elif given or first is None:
                empty.append(lane.key)
        for _ in range(ROUNDS_MAX):
            if not self._places or not more:
                break
            more = self._more(more, users, empty)
        self._write(candidates, empty, users)

    def _give(self, key: LaneKey, job_id: str, users: Counter[str]) -> bool:
        if not self._places or users[key.user_id] >= self._window or self._rooms.get(key.provider, 1) < 1:
            return False
        self._dealt.setdefault(key, []).append(job_id)
        self._places -= 1
        users[key.user_id] += 1
        if key.provider in self._rooms:
            self._rooms[key.provider] -= 1
        return True

    def _more(self, more: Sequence[LaneKey], users: Counter[str], empty: list[LaneKey]) -> list[LaneKey]:
        """Another round: each user gets as many as make the round fair. Those lanes that may have still more."""
        of_user = Counter(key.user_id for key in more)
        fair = -(-self._places // len(of_user))
        left: list[LaneKey] = []
        for key in more:
            taken = self._dealt.get(key, [])
            share = -(-fair // of_user[key.user_id])
            wanted = min(share, self._places, self._window - users[key.user_id], self._rooms.get(key.provider, share))
            if wanted < 1:
                continue
            job_ids = _next(self._session, key, beside=taken, limit=wanted)
            given = sum(self._give(key, job_id, users) for job_id in job_ids)
            if given == wanted:
                left.append(key)
            elif given == len(job_ids):
                empty.append(key)
        return left

    def _write(self, candidates: Sequence[Lane], empty: Sequence[LaneKey], users: Counter[str]) -> None:
        full = {lane.key for lane in candidates if users[lane.key.user_id] >= self._window} - set(empty)
        turns = self._turns()
        unsaid = dict.fromkeys(turns, "")
        for lane in candidates:
            what = "empty" if lane.key in empty else "full" if lane.key in full else "open"
            if lane.key in turns or what != "open" or not lane.open:
                unsaid[lane.key] = what
        alike: dict[tuple[int, str], list[LaneKey]] = {}
        for key, what in unsaid.items():
            alike.setdefault((turns.get(key, 0), what), []).append(key)
        for (turn_ms, what), keys in sorted(alike.items()):
            lanes.change(self._session, sorted(keys), **({"turn_ms": turn_ms} if turn_ms else {}), **_VALUES[what])

    def _turns(self) -> dict[LaneKey, int]:
        """When the lanes of those users were served who were: all at once, so that who has many gets no more turns.

        They keep their order, after all that were looked at: a millisecond may be shared, and a clock be set back.
        """
        turns: dict[LaneKey, int] = {}
        turn_ms = lanes.next_turn(self._session, self._queue, self._providers, after=self._lanes, now_ms=self._now_ms)
        for user_id in {key.user_id for key in self._dealt} & self._lanes.keys():
            others = sorted((lane.turn_ms, lane.key) for lane in self._lanes[user_id] if lane.key not in self._dealt)
            turns |= {key: turn_ms + n for n, (_, key) in enumerate(others)}
            turns |= {lane.key: turn_ms + len(others) for lane in self._lanes[user_id] if lane.key in self._dealt}
        return turns


_VALUES: Mapping[str, Mapping[str, int]] = {
    "empty": {"open": 0, "owed": 0},
    "full": {"open": 0, "owed": 1},
    "open": {"open": 1},
    "": {},
}


def _first(session: Session, *, queue: str, providers: Sequence[str], limit: int) -> list[LaneKey]:
    """The open lanes of a queue that were served least lately, `limit` at most of each provider."""
    rows = session.connection().execute(_first_of(tuple(providers)), {"queue": queue, "most": limit}).all()
    ordered = sorted(rows, key=lambda row: (row.turn_ms, row.user_id))
    return [LaneKey(queue, row.user_id, row.provider) for row in ordered[:limit]]


@lru_cache
def _first_of(providers: tuple[str, ...]) -> Executable:
    parts = [
        select(L.user_id, L.provider, L.turn_ms)
        .where(L.queue == bindparam("queue"), L.open == 1, L.provider == provider)
        .order_by(L.turn_ms, L.user_id)
        .limit(bindparam("most", type_=Integer))
        .subquery()
        for provider in providers
    ]
    return union_all(*map(select, parts)) if len(parts) > 1 else select(parts[0])


def _fronts(session: Session, keys: Sequence[LaneKey]) -> dict[LaneKey, _Front]:
    """The first two due jobs of each lane, and how many jobs its user has running in the queue."""
    queue, user_ids = keys[0].queue, sorted({key.user_id for key in keys})
    rows = session.connection().execute(_FRONTS, {"queue": queue, "user_ids": user_ids})
    return {LaneKey(queue, row[0], row[1]): _Front(row[2], row[3], row[4]) for row in rows}


def _nth(offset: int) -> ScalarSelect[str]:
    return (
        select(J.id)
        .where(
            J.provider == L.provider,
            J.state == states.PENDING,
            J.queue == L.queue,
            J.user_id == L.user_id,
            J.run_after_ms <= db_now_ms(),
        )
        .with_hint(JOBS, "FORCE INDEX (ix_jobs_lane)", "mysql")
        .order_by(J.rank_ms, J.id)
        .limit(1)
        .offset(offset)
        .correlate(LANES)
        .scalar_subquery()
    )


_FIRST, _SECOND = _nth(0), _nth(1)
# Left to itself the database goes by averages: it would read all that runs, or all that a user with a long past has
# ever had, for each lane.
_AT_WORK = (
    select(func.count())
    .select_from(JOBS)
    .with_hint(JOBS, "FORCE INDEX (ix_jobs_user_queues)", "mysql")
    .where(J.user_id == L.user_id, J.state == states.RUNNING, J.queue == L.queue)
    .correlate(LANES)
    .scalar_subquery()
)
_FRONTS = select(L.user_id, L.provider, _AT_WORK, _FIRST, _SECOND).where(
    L.queue == bindparam("queue"), L.user_id.in_(any_of("user_ids"))
)


def _next(session: Session, key: LaneKey, *, beside: Sequence[str], limit: int) -> list[str]:
    rows = session.connection().execute(_NEXT, {**key._asdict(), "beside": beside, "most": limit})
    return list(rows.scalars())


_NEXT = (
    select(J.id)
    .where(
        J.provider == bindparam("provider"),
        J.state == states.PENDING,
        J.queue == bindparam("queue"),
        J.user_id == bindparam("user_id"),
        J.run_after_ms <= db_now_ms(),
        J.id.not_in(any_of("beside")),
    )
    .with_hint(JOBS, "FORCE INDEX (ix_jobs_lane)", "mysql")
    .order_by(J.rank_ms, J.id)
    .limit(bindparam("most", type_=Integer))
)
