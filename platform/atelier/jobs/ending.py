"""The end of jobs, several at a time: lock the rows, judge each by its fence, write together what changes alike."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, String, bindparam, insert, select, tuple_, update
from sqlalchemy.orm import Session

from atelier.contracts.queues import WORKFLOW
from atelier.jobs import dead_letters, states
from atelier.jobs.lanes import LaneKey
from atelier.jobs.models import ATTEMPTS, JOBS, RESULTS
from atelier.kernel.clock import db_now_ms
from atelier.kernel.database import any_of

J = JOBS.c
A = ATTEMPTS.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a job ends.

    fence, from_state  what it must still be; the fence is the claim's, or the one seen when nobody held the job
    bump               by how much the fence grows: 1 for whoever ends a job without its lease, which must be over
    seq                the number of the job's last event
    outcome            how the attempt under the fence went
    kept_ms            how long its result is kept at least; None is without end
    """

    job_id: str
    fence: int
    state: str
    seq: int
    outcome: str
    used: int = 0
    result: Any = None
    error_code: str | None = None
    error_message: str | None = None
    from_state: str = states.RUNNING
    bump: int = 0
    kept_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """Ids of jobs: ended `now`, or ended by this very ending `before`, in a transaction whose answer was lost.

    `places` are those of them that ran until now, each with the lane that has a place more.
    `keys` are the API keys of those that ended now and were submitted with one.
    `steps` are those that ended now and are steps, each with the job that it is a step of.
    `cut_off` are those that ended now, made nothing, and may have steps at work.
    """

    now: frozenset[str]
    before: frozenset[str]
    places: tuple[tuple[LaneKey, str], ...]
    keys: Mapping[str, str]
    steps: Mapping[str, str]
    cut_off: tuple[str, ...]


def finish(session: Session, endings: Sequence[Ending]) -> Finished:
    """End those jobs that still are as their ending says. The others have moved on and are left alone."""
    seen = _locked(session, endings)
    ended = [one for one in endings if _still(one, seen)]
    alike: dict[tuple[Any, ...], list[str]] = {}
    for one in ended:
        number = one.seq - (one.fence + one.bump) * states.SEQ_STEP
        alike.setdefault((one.state, one.used, one.error_code, one.error_message, one.bump, number), []).append(
            one.job_id
        )
    for change, job_ids in alike.items():
        session.connection().execute(_END, dict(zip(_CHANGED, change, strict=True)) | {"job_ids": job_ids})
    results = [_result(one, now_ms=seen[one.job_id].now_ms) for one in ended if one.result is not None]
    if results:
        session.connection().execute(_KEEP, results)
    # A step has no letter: what is tried again is the whole.
    if failed := [one.job_id for one in ended if one.state == states.FAILED and not seen[one.job_id].parent_id]:
        dead_letters.bury(session, failed)
    end_attempts(session, [(one.job_id, one.fence, one.outcome) for one in ended if one.fence])
    return Finished(
        now=frozenset(one.job_id for one in ended),
        before=frozenset(one.job_id for one in endings if _already(one, seen)),
        places=tuple((seen[one.job_id].lane, one.job_id) for one in ended if one.from_state == states.RUNNING),
        keys={one.job_id: key_id for one in ended if (key_id := seen[one.job_id].key_id)},
        steps={one.job_id: parent_id for one in ended if (parent_id := seen[one.job_id].parent_id)},
        cut_off=tuple(one.job_id for one in ended if _is_cut_off(one, seen[one.job_id])),
    )


def _result(one: Ending, *, now_ms: int) -> dict[str, Any]:
    expires_ms = None if one.kept_ms is None else now_ms + one.kept_ms
    return {"job_id": one.job_id, "document": one.result, "expires_ms": expires_ms}


_KEEP = insert(RESULTS)
_CHANGED = ("to_state", "taken", "code", "message", "steps", "number")
# MySQL evaluates assignments from left to right with the new values, so `seq` is set before the fence it reads.
_END = (
    update(JOBS)
    .where(J.id.in_(bindparam("job_ids", expanding=True)))
    .ordered_values(
        (
            J.seq,
            (J.fence + bindparam("steps", type_=BigInteger)) * states.SEQ_STEP + bindparam("number", type_=BigInteger),
        ),
        (J.fence, J.fence + bindparam("steps", type_=BigInteger)),
        (J.state, bindparam("to_state", type_=String)),
        (J.used, bindparam("taken", type_=BigInteger)),
        (J.error_code, bindparam("code", type_=String)),
        (J.error_message, bindparam("message", type_=String)),
        (J.finished_ms, db_now_ms()),
        (J.lease_ms, None),
        (J.sweep_ms, None),
        (J.poll_ms, None),
        (J.owner, None),
    )
)


@dataclass(frozen=True, slots=True)
class _Seen:
    fence: int
    state: str
    seq: int
    leased: bool
    now_ms: int
    lane: LaneKey
    key_id: str | None
    parent_id: str | None


def _is_cut_off(one: Ending, job: _Seen) -> bool:
    # Also one that waits, or that its worker gives up: its steps may have begun without the worker being told so.
    return job.lane.provider == WORKFLOW and one.state != states.COMPLETED and one.fence > 0


_SEEN: tuple[ColumnElement[Any], ...] = (
    *(J.id, J.fence, J.state, J.seq, J.lease_ms, db_now_ms(), J.queue, J.user_id, J.provider, J.key_id),
    J.parent_id,
)
_LOCK = select(*_SEEN).where(J.id.in_(any_of("job_ids"))).order_by(J.id).with_for_update()


def _locked(session: Session, endings: Iterable[Ending]) -> Mapping[str, _Seen]:
    rows: Any = session.connection().execute(_LOCK, {"job_ids": sorted(one.job_id for one in endings)})
    return {
        row[0]: _Seen(
            fence=row[1],
            state=row[2],
            seq=row[3],
            leased=row[4] is not None and row[4] >= row[5],
            now_ms=row[5],
            lane=LaneKey(row[6], row[7], row[8]),
            key_id=row[9],
            parent_id=row[10],
        )
        for row in rows
    }


def _still(one: Ending, seen: Mapping[str, _Seen]) -> bool:
    job = seen.get(one.job_id)
    # Who ends a job without its lease must find the lease over: its holder may have renewed it since it was seen.
    return job is not None and job.fence == one.fence and job.state == one.from_state and not (one.bump and job.leased)


def _already(one: Ending, seen: Mapping[str, _Seen]) -> bool:
    # An event's number is given once, by who holds the fence: a final one with this number is this ending.
    job = seen.get(one.job_id)
    return job is not None and (job.state, job.seq, job.fence) == (one.state, one.seq, one.fence + one.bump)


def end_attempts(session: Session, attempts: Sequence[tuple[str, int, str]]) -> None:
    """Record how attempts went, given as (job, fence, outcome), unless that is known already."""
    alike: dict[str, list[tuple[str, int]]] = {}
    for job_id, fence, outcome in attempts:
        alike.setdefault(outcome, []).append((job_id, fence))
    for outcome, keys in alike.items():
        which = {"job_ids": [key[0] for key in keys], "keys": keys}
        session.connection().execute(_END_ATTEMPTS, {**which, "went": outcome})


_END_ATTEMPTS = (
    update(ATTEMPTS)
    # The plain list of ids is for databases that can't search an index by pairs.
    .where(A.job_id.in_(any_of("job_ids")), tuple_(A.job_id, A.fence).in_(any_of("keys")), A.outcome.is_(None))
    .values(outcome=bindparam("went", type_=String), finished_ms=db_now_ms())
)
