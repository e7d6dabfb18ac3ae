"""Dead letters: what has failed, until somebody has dealt with it.

open ──► replayed | retried        by an administrator, by its user: there is a new job
  └────► dismissed ──► replayed | retried

A letter is written in the transaction in which its job fails, and what becomes of it in the one that does it, so a job
is replayed once at most, whoever asks how often. A canceled job has no letter before it is done once more: then one
is written that says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from sqlalchemy import (
    Column,
    ColumnElement,
    Insert,
    String,
    and_,
    case,
    exists,
    func,
    insert,
    literal,
    select,
    union_all,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.jobs import reasons, states, walking
from atelier.jobs.models import DEAD_LETTERS, JOBS
from atelier.jobs.reasons import REASONS, Reason
from atelier.jobs.walking import Walk
from atelier.kernel.clock import DAY_MS
from atelier.kernel.database import Again, is_duplicate, matched

State = Literal["open", "replayed", "retried", "dismissed"]
OPEN: State = "open"
REPLAYED: State = "replayed"
RETRIED: State = "retried"
DISMISSED: State = "dismissed"
_WITHOUT_A_NEW_JOB = (OPEN, DISMISSED)

# After that a letter is forgotten, and its job can't be replayed any more.
KEPT_MS = 180 * DAY_MS
COUNTED_MAX = 10_000

D, J = DEAD_LETTERS.c, JOBS.c
_OF_JOB = ("user_id", "agent_id", "provider", "queue", "kind", "error_code")


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A job that failed, and what became of it. `reason` is None for one that was canceled, and done again."""

    job_id: str
    user_id: str
    agent_id: str
    provider: str
    queue: str
    kind: str
    error_code: str | None
    reason: Reason | None
    state: State
    failed_ms: int
    resolved_ms: int | None
    resolved_by: str | None
    note: str | None
    new_job_id: str | None


_COLUMNS = tuple(D[name] for name in Letter.__dataclass_fields__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which letters. Times are of the job's submission, `until_ms` exclusive; `before` is where a page has ended."""

    state: State = OPEN
    reason: Reason | None = None
    error_code: str | None = None
    provider: str | None = None
    agent_id: str | None = None
    queue: str | None = None
    kind: str | None = None
    user_id: str | None = None
    from_ms: int | None = None
    until_ms: int | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many letters are open: by class, and of the newest by provider and by agent. Counted up to COUNTED_MAX."""

    reasons: Mapping[Reason, int]
    providers: Mapping[str, int]
    agents: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """Who deals with letters, and why."""

    by: str
    note: str


_REASON: ColumnElement[str] = case(
    {code: literal(reason, String) for code, reason in reasons.CLASSES.items()},
    value=func.coalesce(J.error_code, ""),
    else_=literal(reasons.of(None), String),
)


def bury(session: Session, job_ids: Sequence[str]) -> None:
    """Write the letters of jobs that this transaction has made fail."""
    failed = select(J.id, *(J[name] for name in _OF_JOB), _REASON, J.finished_ms).where(J.id.in_(job_ids))
    columns = (D.job_id, *(D[name] for name in _OF_JOB), D.reason, D.failed_ms)
    session.connection().execute(insert(DEAD_LETTERS).from_select(columns, failed))


def retried(session: Session, pairs: Mapping[str, str], *, now_ms: int) -> None:
    """Users have tried these jobs again, given with the new ones; a letter that names a new job stays as it is.

    Who dismissed one, and why, is from then on only in the operation log: a letter says what became of it at last.
    """
    done = update(DEAD_LETTERS).where(D.job_id.in_(pairs), D.state.in_(_WITHOUT_A_NEW_JOB))
    tried = {"state": RETRIED, "resolved_ms": now_ms, "resolved_by": None, "note": None}
    session.connection().execute(done.values(**tried, new_job_id=_new(pairs)))
    named = case({job_id: literal(new, String) for job_id, new in pairs.items()}, value=J.id)
    dealt = {D.state: literal(RETRIED), D.resolved_ms: literal(now_ms, D.resolved_ms.type), D.new_job_id: named}
    unlettered = ~exists().where(D.job_id == J.id)
    session.connection().execute(_lettered(dealt, and_(J.id.in_(list(pairs)), unlettered)))


def _lettered(dealt: Mapping[Column[Any], ColumnElement[Any]], which: ColumnElement[bool]) -> Insert:
    """Letters of canceled jobs, with which somebody has dealt already."""
    canceled = select(J.id, *(J[name] for name in _OF_JOB), J.finished_ms, *dealt.values()).where(
        which, J.state == states.CANCELED
    )
    columns = (D.job_id, *(D[name] for name in _OF_JOB), D.failed_ms, *dealt)
    return insert(DEAD_LETTERS).from_select(columns, canceled)


def replayed(session: Session, pairs: Mapping[str, str], *, deal: Deal, now_ms: int) -> int:
    """These jobs are replayed as the new ones; how many of them nobody had tried again before.

    Unless that is all of them, the transaction must not be committed.
    """
    done = update(DEAD_LETTERS).where(D.job_id.in_(pairs), D.state.in_(_WITHOUT_A_NEW_JOB))
    dealt = {"state": REPLAYED, "resolved_ms": now_ms, "resolved_by": deal.by, "note": deal.note}
    return matched(session, done.values(**dealt, new_job_id=_new(pairs)))


def _new(pairs: Mapping[str, str]) -> ColumnElement[str]:
    return case({job_id: literal(new, String) for job_id, new in pairs.items()}, value=D.job_id)


def replayed_canceled(session: Session, job_id: str, new_job_id: str, *, deal: Deal, now_ms: int) -> None:
    """A canceled job that nobody has replayed is replayed as the new one. Who finds another there runs again."""
    dealt = {
        D.state: REPLAYED, D.resolved_ms: now_ms, D.resolved_by: deal.by, D.note: deal.note, D.new_job_id: new_job_id
    }  # fmt: skip
    values = {column: literal(one, column.type) for column, one in dealt.items()}
    try:
        session.connection().execute(_lettered(values, J.id == job_id))
    except IntegrityError as error:
        if is_duplicate(error):
            raise Again from error
        raise


def dismiss(session: Session, *, job_id: str, deal: Deal, now_ms: int) -> bool:
    """Nobody is to try this again; False when there is no open letter of this job."""
    done = update(DEAD_LETTERS).where(D.job_id == job_id, D.state == OPEN)
    return bool(matched(session, done.values(state=DISMISSED, resolved_ms=now_ms, resolved_by=deal.by, note=deal.note)))


def find(session: Session, *, job_id: str) -> Letter | None:
    """The letter of a job."""
    return many(session, job_ids=[job_id]).get(job_id)


def many(session: Session, *, job_ids: Sequence[str]) -> dict[str, Letter]:
    """The letters of these jobs, by their ids."""
    rows = session.connection().execute(select(*_COLUMNS).where(D.job_id.in_(job_ids))).mappings()
    return {row["job_id"]: Letter(**row) for row in rows}


def page(session: Session, wanted: Filter, *, limit: int) -> tuple[list[Letter], str | None]:
    """Letters that match, the newest job first, and from where to go on, None at the end."""
    job_ids, following = walking.walk(session, _walk(wanted, limit=limit))
    letters = many(session, job_ids=job_ids) if job_ids else {}
    return [letters[job_id] for job_id in job_ids], following


def count(session: Session, wanted: Filter) -> tuple[int, bool]:
    """How many letters match among the COUNTED_MAX that are looked at, and whether there may be more."""
    job_ids, following = walking.walk(session, _walk(wanted, limit=COUNTED_MAX))
    return len(job_ids), following is not None


def _walk(wanted: Filter, *, limit: int) -> Walk:
    index, lead, rest = _led(wanted)
    return Walk(
        key=D.job_id,
        legs=[lead],
        rest=rest,
        index=index,
        limit=limit,
        before=wanted.before,
        from_ms=wanted.from_ms,
        until_ms=wanted.until_ms,
    )


def _led(wanted: Filter) -> tuple[str, ColumnElement[bool], ColumnElement[bool] | None]:
    """The index that leads to the fewest, its condition, and what is left to be looked at row by row."""
    led = {"user_id": wanted.user_id, "agent_id": wanted.agent_id, "provider": wanted.provider, "reason": wanted.reason}
    if wanted.reason is None and wanted.error_code is not None:
        led["reason"] = reasons.of(wanted.error_code)
    others = {"error_code": wanted.error_code, "queue": wanted.queue, "kind": wanted.kind}
    given = [name for name, value in led.items() if value is not None]
    rest = [D[name] == led[name] for name in given[1:]]
    rest += [D[name] == value for name, value in others.items() if value is not None]
    lead = [D.state == wanted.state, *(D[name] == led[name] for name in given[:1])]
    index = f"ix_dead_letters_{given[0].removesuffix('_id') if given else 'state'}"
    return index, and_(*lead), and_(*rest) if rest else None


def counts(session: Session) -> Counts:
    """How many are open."""
    return Counts(
        reasons=by_reason(session),
        providers=_grouped(session, "provider"),
        agents=_grouped(session, "agent_id"),
    )


def by_reason(session: Session) -> dict[Reason, int]:
    """How many are open of each class, 0 included, counted up to COUNTED_MAX each."""
    parts = [
        select(literal(reason, String).label("reason"), func.count().label("number")).select_from(
            select(D.job_id).where(D.state == OPEN, D.reason == reason).limit(COUNTED_MAX).subquery()
        )
        for reason in REASONS
    ]
    rows = session.connection().execute(union_all(*parts))
    return {cast("Reason", row.reason): row.number for row in rows}


def _grouped(session: Session, name: str) -> dict[str, int]:
    newest = select(D[name]).where(D.state == OPEN).order_by(D.job_id.desc()).limit(COUNTED_MAX).subquery()
    number = func.count().label("number")
    rows = session.connection().execute(
        select(newest.c[name], number).group_by(newest.c[name]).order_by(number.desc(), newest.c[name]).limit(100)
    )
    return {row[0]: row[1] for row in rows}
