"""Where waiting jobs stand, and why each is not running yet.

A queue is served in rounds, one job of each user: before a user's n-th waiting job come n − 1 of their own, and of
every other user as many as they have, n at most.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atelier.jobs import controls, lanes, states
from atelier.jobs.controls import Control
from atelier.jobs.lane_models import PROVIDER, QUEUE
from atelier.jobs.models import JOBS
from atelier.jobs.queries import POSITION_MAX
from atelier.kernel.clock import db_now_ms

J = JOBS.c
FRONT_MAX = 4_000

BlockedBy = Literal["queue_paused", "provider_capacity", "retry_backoff", "user_window", "waiting_for_worker"]


class Waiting(NamedTuple):
    """A pending job, as far as its place is concerned."""

    id: str
    user_id: str
    provider: str
    rank_ms: int
    run_after_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The pending jobs of one queue.

    places     of the oldest of them: how many of the same user's jobs come before
    have       how many of these each user has
    within     within[k] jobs are among the first k of their users; as far as `complete`
    complete   whether these are all the pending jobs of the queue
    lanes      how many users and providers have something due, counted to POSITION_MAX
    at_work    users of whom jobs run, with their numbers
    full       providers that let nothing start now
    """

    queue: str
    now_ms: int
    window: int
    places: Mapping[str, int]
    have: Mapping[str, int]
    within: Sequence[int]
    complete: bool
    lanes: int
    at_work: Mapping[str, int]
    paused: bool
    full: frozenset[str]

    def knows(self, job_id: str) -> bool:
        """Whether this line can tell where the job stands: one that isn't in the whole line has come after it."""
        return self.complete or job_id in self.places

    def position(self, job_id: str, *, user_id: str) -> int | None:
        """How many jobs come before it; None when there are more than are counted."""
        place = self.places.get(job_id, self.have.get(user_id, 0))
        if self.complete:
            others = self.within[min(place + 1, len(self.within) - 1)] - min(place + 1, self.have.get(user_id, 0))
        else:
            others = max(0, self.lanes - 1) * (place + 1)
        return place + others if place + others <= POSITION_MAX else None

    def blocked_by(self, *, user_id: str, provider: str, run_after_ms: int) -> BlockedBy:
        """Why a pending job of this line is not running yet."""
        if self.paused:
            return "queue_paused"
        if provider in self.full:
            return "provider_capacity"
        if run_after_ms > self.now_ms:
            return "retry_backoff"
        if self.at_work.get(user_id, 0) >= self.window:
            return "user_window"
        return "waiting_for_worker"


def line(session: Session, *, queue: str, window: int, user_id: str | None = None) -> Line:
    """The line before a queue; or, of a long one, one user's part of it."""
    now_ms = session.connection().execute(select(db_now_ms())).scalar_one()
    waiting = _waiting(session, queue=queue, user_id=user_id)
    places = _places(waiting)
    known = controls.standing(session)
    paused = known.get((QUEUE, queue))
    complete = user_id is None and len(waiting) <= FRONT_MAX
    return Line(
        queue=queue,
        now_ms=now_ms,
        window=window,
        places=places,
        have=Counter(one.user_id for one in waiting),
        within=_within(places) if complete else (),
        complete=complete,
        lanes=0 if complete else lanes.counted(session, queue=queue, most=POSITION_MAX + 1),
        at_work=_at_work(session, queue=queue, user_ids=sorted({one.user_id for one in waiting})),
        paused=paused is not None and paused.room(running=0, now_ms=now_ms) == 0,
        full=_full(session, known, now_ms=now_ms),
    )


def _waiting(session: Session, *, queue: str, user_id: str | None) -> list[Waiting]:
    query = select(J.id, J.user_id, J.provider, J.rank_ms, J.run_after_ms).where(
        J.queue == queue, J.state == states.PENDING
    )
    if user_id is None:
        # The first of all jobs by id are far from the first that wait: MySQL sometimes hopes otherwise.
        query = query.with_hint(JOBS, "FORCE INDEX (ix_jobs_queue_state)", "mysql")
    else:
        query = query.where(J.user_id == user_id)
    return [Waiting(*row) for row in session.connection().execute(query.order_by(J.id).limit(FRONT_MAX + 1))]


def _places(waiting: Sequence[Waiting]) -> dict[str, int]:
    places: dict[str, int] = {}
    counts = Counter[str]()
    for one in sorted(waiting, key=lambda one: (one.rank_ms, one.id)):
        places[one.id] = counts[one.user_id]
        counts[one.user_id] += 1
    return places


def _within(places: Mapping[str, int]) -> list[int]:
    have = Counter(places.values())  # so many users have a job at this place
    within = [0]
    for place in range(len(have)):
        within.append(within[-1] + have[place])
    return within


def _at_work(session: Session, *, queue: str, user_ids: Sequence[str]) -> dict[str, int]:
    if not user_ids:
        return {}
    rows = session.connection().execute(
        select(J.user_id, func.count())
        .where(J.user_id.in_(user_ids), J.state == states.RUNNING, J.queue == queue)
        .group_by(J.user_id)
    )
    return {row[0]: row[1] for row in rows}


def _full(session: Session, known: Mapping[tuple[str, str], Control], *, now_ms: int) -> frozenset[str]:
    providers = {name: control for (kind, name), control in known.items() if kind == PROVIDER}
    counted = [name for name, control in providers.items() if control.is_counted]
    running = controls.running(session, providers=counted) if counted else {}
    return frozenset(
        name
        for name, control in providers.items()
        if controls.room(session, control, running=running.get(name, 0), now_ms=now_ms) == 0
    )
