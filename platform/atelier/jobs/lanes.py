"""Lanes: who waits in which queue, and who is owed an invitation.

A message of a job invites a worker to take the next job of its queue, whichever that is by then. An invitation that
finds nothing to take is dropped, and what it was dropped for owes a new one: a lane whose user has as many jobs running
as may be, a provider or queue that is held back. So every place that becomes free is offered again, and nobody searches
a backlog. Lanes are locked in the order of their keys, after controls and everything else.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import and_, delete, exists, func, insert, or_, select, update
from sqlalchemy.orm import Session

from atelier.jobs import states
from atelier.jobs.lane_models import CONTROLS, LANES, PROVIDER, QUEUE
from atelier.jobs.models import JOBS
from atelier.kernel.database import matched

L = LANES.c


class LaneKey(NamedTuple):
    """Whose lane it is."""

    queue: str
    user_id: str
    provider: str


class Lane(NamedTuple):
    """A lane that this transaction has locked. `held_back`: its queue or provider has dropped invitations, too."""

    key: LaneKey
    turn_ms: int
    open: bool
    owed: bool
    held_back: bool


def lock(session: Session, keys: Iterable[LaneKey]) -> dict[LaneKey, Lane]:
    """Those of the lanes that exist, locked together with the other lanes of their users in the same queues."""
    users: dict[str, set[str]] = {}
    for key in keys:
        users.setdefault(key.queue, set()).add(key.user_id)
    found: dict[LaneKey, Lane] = {}
    for queue in sorted(users):
        rows = session.connection().execute(
            select(L.queue, L.user_id, L.provider, L.turn_ms, L.open, L.owed, _HELD_BACK)
            .where(L.queue == queue, L.user_id.in_(sorted(users[queue])))
            .order_by(L.queue, L.user_id, L.provider)
            .with_for_update()
        )
        for row in rows:
            key = LaneKey(row[0], row[1], row[2])
            found[key] = Lane(key, row[3], bool(row[4]), bool(row[5]), bool(row[6]))
    return found


# A plain read inside the locking one: controls are not locked by it.
_HELD_BACK = (
    select(func.coalesce(func.max(CONTROLS.c.owed), 0))
    .where(
        or_(
            and_(CONTROLS.c.kind == PROVIDER, CONTROLS.c.name == L.provider),
            and_(CONTROLS.c.kind == QUEUE, CONTROLS.c.name == L.queue),
        )
    )
    .correlate(LANES)
    .scalar_subquery()
)


def open_for(session: Session, keys: Iterable[LaneKey]) -> None:
    """There are new jobs in these lanes. Raises IntegrityError when another transaction makes the same lane."""
    wanted = sorted(set(keys))
    known = lock(session, wanted)
    change(session, [key for key in wanted if key in known and not known[key].open], open=1)
    missing = [key._asdict() for key in wanted if key not in known]
    if missing:
        session.connection().execute(insert(LANES), missing)


def freed(session: Session, places: Sequence[tuple[LaneKey, str]]) -> list[tuple[str, str]]:
    """Places of these lanes have become free: the invitations that are owed for them, as (queue, job).

    `places` names for each the job that has left it.
    """
    if not places:
        return []
    known = lock(session, [key for key, _ in places])
    change(session, sorted(lane.key for lane in known.values() if lane.owed and not lane.open), open=1)
    owing: dict[tuple[str, str], bool] = {}
    for lane in known.values():
        whose = (lane.key.queue, lane.key.user_id)
        owing[whose] = owing.get(whose, False) or lane.owed or lane.held_back
    return [(key.queue, job_id) for key, job_id in places if owing.get((key.queue, key.user_id))]


def change(session: Session, keys: Sequence[LaneKey], **values: int) -> None:
    """Give these lanes, which are locked, these values."""
    alike: dict[tuple[str, str], list[str]] = {}
    for key in keys:
        alike.setdefault((key.queue, key.provider), []).append(key.user_id)
    for (queue, provider), user_ids in alike.items():
        session.connection().execute(
            update(LANES).where(L.queue == queue, L.provider == provider, L.user_id.in_(user_ids)).values(**values)
        )


def prune(session: Session, *, before_ms: int, limit: int) -> int:
    """Remove lanes that were not served since, and in which nothing waits; how many."""
    J = JOBS.c  # noqa: N806 - columns, as everywhere
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
    some = select(L.user_id).where(L.queue == queue, L.open == 1).limit(most).subquery()
    return session.connection().execute(select(func.count()).select_from(some)).scalar_one()


def waiting_lanes(session: Session, *, queue: str, user_ids: Sequence[str]) -> Mapping[LaneKey, Lane]:
    """The lanes of these users, not locked."""
    rows = session.connection().execute(
        select(L.queue, L.user_id, L.provider, L.turn_ms, L.open, L.owed).where(
            L.queue == queue, L.user_id.in_(list(user_ids))
        )
    )
    return {
        LaneKey(row[0], row[1], row[2]): Lane(
            LaneKey(row[0], row[1], row[2]), row[3], bool(row[4]), bool(row[5]), False
        )
        for row in rows
    }
