"""Lanes: who waits in which queue, and who is owed an invitation.

A message of a job invites a worker to take the next job of its queue, whichever that is by then. An invitation that
finds nothing to take is dropped, and what it was dropped for owes a new one: a lane whose user has as many jobs running
as may be, a provider or queue that is held back. So every place that becomes free is offered again, and nobody searches
a backlog. Lanes are locked in the order of their keys, after controls and everything else.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Executable,
    Integer,
    Update,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.orm import Session

from atelier.jobs import states
from atelier.jobs.lane_models import CONTROLS, LANES, PROVIDER, QUEUE
from atelier.jobs.models import JOBS
from atelier.kernel.database import any_of, matched

C = CONTROLS.c
J = JOBS.c
L = LANES.c


class LaneKey(NamedTuple):
    """Whose lane it is."""

    queue: str
    user_id: str
    provider: str


class Lane(NamedTuple):
    """A lane that this transaction has locked."""

    key: LaneKey
    turn_ms: int
    open: bool
    owed: bool


def lock(session: Session, keys: Iterable[LaneKey]) -> dict[LaneKey, Lane]:
    """Those of the lanes that exist, locked together with the other lanes of their users in the same queues."""
    users: dict[str, set[str]] = {}
    for key in keys:
        users.setdefault(key.queue, set()).add(key.user_id)
    found: dict[LaneKey, Lane] = {}
    for queue in sorted(users):
        rows = session.connection().execute(_LOCK, {"queue": queue, "user_ids": sorted(users[queue])})
        for row in rows:
            key = LaneKey(row[0], row[1], row[2])
            found[key] = Lane(key, row[3], bool(row[4]), bool(row[5]))
    return found


_LOCK = (
    select(L.queue, L.user_id, L.provider, L.turn_ms, L.open, L.owed)
    .where(L.queue == bindparam("queue"), L.user_id.in_(any_of("user_ids")))
    .order_by(L.queue, L.user_id, L.provider)
    .with_for_update()
)


def open_for(session: Session, keys: Iterable[LaneKey]) -> None:
    """There are new jobs in these lanes. Raises IntegrityError when another transaction makes the same lane."""
    wanted = sorted(set(keys))
    known = lock(session, wanted)
    change(session, [key for key in wanted if key in known and not known[key].open], open=1)
    missing = [key._asdict() for key in wanted if key not in known]
    if missing:
        session.connection().execute(_INSERT, missing)


_INSERT = insert(LANES)


def freed(session: Session, places: Sequence[tuple[LaneKey, str]]) -> list[tuple[str, str]]:
    """Places of these lanes have become free: the invitations that are owed for them, as (queue, job).

    `places` names for each the job that has left it.
    """
    if not places:
        return []
    held_back = _held_back(session, [key for key, _ in places])
    known = lock(session, [key for key, _ in places])
    change(session, sorted(lane.key for lane in known.values() if lane.owed and not lane.open), open=1)
    owed = {(lane.key.queue, lane.key.user_id) for lane in known.values() if lane.owed}
    return [
        (key.queue, job_id)
        for key, job_id in places
        if (key.queue, key.user_id) in owed or not held_back.isdisjoint(_controls_of(key))
    ]


def _held_back(session: Session, keys: Iterable[LaneKey]) -> frozenset[tuple[str, str]]:
    """Which queues and providers of these lanes have dropped invitations.

    Whoever turns somebody away holds the control's lock while it counts what runs. So either it has counted these
    places as free, or what it owes is seen here.
    """
    those = {control for key in keys for control in _controls_of(key)}
    names = {kind: sorted(name for its, name in those if its == kind) for kind in (PROVIDER, QUEUE)}
    rows = session.connection().execute(_SHARE, {"providers": names[PROVIDER], "queues": names[QUEUE]})
    return frozenset((row[0], row[1]) for row in rows if row[2])


_SHARE = (
    select(C.kind, C.name, C.owed)
    .where(
        or_(
            and_(C.kind == PROVIDER, C.name.in_(any_of("providers"))),
            and_(C.kind == QUEUE, C.name.in_(any_of("queues"))),
        )
    )
    .order_by(C.kind, C.name)
    .with_for_update(read=True)
)


def _controls_of(key: LaneKey) -> tuple[tuple[str, str], tuple[str, str]]:
    return (PROVIDER, key.provider), (QUEUE, key.queue)


def next_turn(
    session: Session, queue: str, providers: Iterable[str], *, after: Mapping[str, Sequence[Lane]], now_ms: int
) -> int:
    """When lanes are served that are served now: the time, unless that is no later than when these were.

    A millisecond may be shared, and a clock be set back. Then whoever is served comes after every open lane of these
    providers, and not only after those that were looked at, or these would go round and round before the rest.
    """
    newest = max(lane.turn_ms for mine in after.values() for lane in mine)
    if newest < now_ms:
        return now_ms
    rows = session.connection().execute(_last_turns(tuple(sorted(providers))), {"queue": queue})
    return 1 + max(newest, *(row[0] or 0 for row in rows))


@lru_cache
def _last_turns(providers: tuple[str, ...]) -> Executable:
    ends = [
        select(func.max(L.turn_ms)).where(L.queue == bindparam("queue"), L.open == 1, L.provider == name)
        for name in providers
    ]
    return union_all(*ends)


def change(session: Session, keys: Sequence[LaneKey], **values: int) -> None:
    """Give these lanes, which are locked, these values."""
    alike: dict[tuple[str, str], list[str]] = {}
    for key in keys:
        alike.setdefault((key.queue, key.provider), []).append(key.user_id)
    to = {f"to_{name}": value for name, value in values.items()}
    for (queue, provider), user_ids in alike.items():
        which = {"of_queue": queue, "of_provider": provider, "of_users": user_ids}
        session.connection().execute(_change(tuple(values)), {**which, **to})


@lru_cache
def _change(names: tuple[str, ...]) -> Update:
    which = (
        L.queue == bindparam("of_queue"),
        L.provider == bindparam("of_provider"),
        L.user_id.in_(any_of("of_users")),
    )
    return update(LANES).where(*which).values({name: bindparam(f"to_{name}", type_=BigInteger) for name in names})


def prune(session: Session, *, before_ms: int, limit: int) -> int:
    """Remove lanes that were not served since, and in which nothing waits; how many."""
    old = select(L.queue, L.user_id, L.provider).where(L.open == 0, L.turn_ms < before_ms).limit(limit)
    removed = 0
    for row in session.connection().execute(old).all():
        waiting = exists().where(
            J.user_id == row[1], J.state == states.PENDING, J.queue == row[0], J.provider == row[2]
        )
        removed += matched(
            session,
            delete(LANES).where(
                L.queue == row[0],
                L.user_id == row[1],
                L.provider == row[2],
                L.open == 0,
                L.turn_ms < before_ms,
                ~waiting,
            ),
        )
    return removed


def counted(session: Session, *, queue: str, most: int) -> int:
    """How many lanes of the queue have something due, counted up to `most`."""
    count: int = session.connection().execute(_COUNT, {"queue": queue, "most": most}).scalar_one()
    return count


_COUNT = select(func.count()).select_from(
    select(L.user_id)
    .where(L.queue == bindparam("queue"), L.open == 1)
    .limit(bindparam("most", type_=Integer))
    .subquery()
)
