"""What /metrics shows of the database: read at every scrape, so each figure comes from an index and from few rows.

Jobs that have ended are not counted here: their number only grows, and the workers count what they end.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Select, func, or_, select, union_all
from sqlalchemy.orm import Session

from atelier.contracts import dead_messages, outbox, queues
from atelier.generation import verdicts
from atelier.jobs import controls, dead_letters, states
from atelier.jobs.lane_models import OPEN
from atelier.jobs.models import JOBS
from atelier.jobs.reasons import Reason
from atelier.kernel.clock import SECOND_MS, db_now_ms
from atelier.mail.models import Email
from atelier.notifications import queries as notifications
from atelier.orders import resolutions, statements
from atelier.orders.payment_models import EVENTS
from atelier.webhooks import queries as webhooks

COUNTED_MAX = 100_000
_KINDS = {queue: kind for kind, queue in queues.GENERATION.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """One reading.

    jobs             by kind and state, `pending` and `running` only; every pair is there
    oldest_waiting   by queue: seconds that the oldest job that could run has been waiting, 0 when none waits
    held             credits in the holds of jobs that have not ended
    outbox_rows      messages that have not reached the broker, counted up to COUNTED_MAX
    outbox_lag       seconds that the oldest of them has been due
    mail_backlog     e-mails that are not sent yet, counted up to COUNTED_MAX
    undelivered      notifications that nobody was told of yet, counted up to COUNTED_MAX
    webhooks_waiting   events of outgoing webhooks that are neither delivered nor given up, counted up to COUNTED_MAX
    webhooks_disabled  endpoints that were turned off because they failed or were gone, counted up to COUNTED_MAX
    compared         by gateway: seconds since the end of the newest day whose books were compared with ours
    uncompared       days that are over and not compared
    differences      differences with a gateway's books that wait for a person
    unsettled        messages of gateways that are not settled, counted up to COUNTED_MAX
    cases            by kind: cases of payments that are not resolved
    dead_letters     by class of error: failed jobs that nobody has dealt with, counted up to ten thousand each
    dead_messages    messages that nobody could handle
    held_back        by kind, name and state: queues and providers that are paused or draining
    violations, warnings, checked   the newest verdict and its age in seconds; None before the first
    """

    jobs: Mapping[tuple[str, str], int]
    oldest_waiting: Mapping[str, float]
    held: int
    outbox_rows: int
    outbox_lag: float
    mail_backlog: int
    undelivered: int
    webhooks_waiting: int
    webhooks_disabled: int
    compared: Mapping[str, float]
    uncompared: int
    differences: int
    unsettled: int
    cases: Mapping[str, int]
    dead_letters: Mapping[Reason, int]
    dead_messages: int
    held_back: Collection[tuple[str, str, str]]
    violations: int | None
    warnings: int | None
    checked: float | None


def collect(session: Session, *, now_ms: int) -> Gauges:
    """Read all of them. `now_ms` tells the age of the verdict."""
    jobs, held = _alive(session)
    rows, lag = _outbox(session, now_ms)
    verdict = verdicts.latest(session)
    books = statements.standing(session)
    waiting, disabled = webhooks.standing(session, counted_max=COUNTED_MAX)
    return Gauges(
        jobs=jobs,
        oldest_waiting=_oldest_waiting(session),
        held=held,
        outbox_rows=rows,
        outbox_lag=lag,
        mail_backlog=_mail_backlog(session),
        undelivered=notifications.undelivered(session, counted_max=COUNTED_MAX),
        webhooks_waiting=waiting,
        webhooks_disabled=disabled,
        compared={provider: _seconds(now_ms - end_ms) for provider, end_ms in books.compared_ms.items()},
        uncompared=books.uncompared,
        differences=books.open,
        unsettled=_unsettled(session),
        cases=resolutions.waiting_by_kind(session),
        dead_letters=dead_letters.by_reason(session),
        dead_messages=dead_messages.counted(session),
        held_back=_held_back(session),
        violations=verdict.violations if verdict else None,
        warnings=verdict.warnings if verdict else None,
        checked=_seconds(now_ms - verdict.checked_ms) if verdict else None,
    )


def _alive(session: Session) -> tuple[dict[tuple[str, str], int], int]:
    columns = JOBS.c
    rows = session.connection().execute(
        select(columns.queue, columns.state, func.count(), func.sum(columns.held))
        .where(columns.queue.in_(list(_KINDS)), columns.state.in_(states.ALIVE))
        .group_by(columns.queue, columns.state)
    )
    jobs = {(kind, state): 0 for kind in queues.GENERATION for state in states.ALIVE}
    held = 0
    for queue, state, count, reserved in rows:
        jobs[_KINDS[queue], state] = count
        held += int(reserved)
    return jobs, held


def _oldest_waiting(session: Session) -> dict[str, float]:
    rows = session.connection().execute(union_all(*(_oldest(queue) for queue in _KINDS))).all()
    waited = {row.queue: _seconds(row.now - max(row.created_ms, row.run_after_ms)) for row in rows}
    return {queue: waited.get(queue, 0.0) for queue in _KINDS}


def _oldest(queue: str) -> Select[tuple[str, int, int, int]]:
    columns = JOBS.c
    first = (
        select(columns.queue, columns.created_ms, columns.run_after_ms, db_now_ms().label("now"))
        # The first of all jobs by id is far from the first that waits: MySQL sometimes hopes otherwise.
        .with_hint(JOBS, "FORCE INDEX (ix_jobs_queue_state)", "mysql")
        .where(columns.queue == queue, columns.state == states.PENDING, columns.run_after_ms <= db_now_ms())
        .order_by(columns.id)
        .limit(1)
        .subquery()
    )
    return select(first)


def _outbox(session: Session, now_ms: int) -> tuple[int, float]:
    columns = outbox.TABLE.c
    counted = select(columns.id).limit(COUNTED_MAX).subquery()
    rows = session.connection().execute(select(func.count()).select_from(counted)).scalar_one()
    # A claim moves the row a lease ahead: one that was tried has been due for as long as it exists.
    oldest = (
        select(columns.created_ms, columns.available_ms, columns.tries)
        .where(or_(columns.available_ms <= db_now_ms(), columns.tries > 0))
        .order_by(columns.id)
        .limit(1)
    )
    row = session.connection().execute(oldest).one_or_none()
    if row is None:
        return rows, 0.0
    return rows, _seconds(now_ms - (row.created_ms if row.tries else max(row.created_ms, row.available_ms)))


def _mail_backlog(session: Session) -> int:
    waiting = select(Email.id).where(Email.state.in_(("queued", "sending"))).limit(COUNTED_MAX).subquery()
    return session.connection().execute(select(func.count()).select_from(waiting)).scalar_one()


def _held_back(session: Session) -> list[tuple[str, str, str]]:
    known = controls.standing(session).values()
    return [(one.kind, one.name, one.state) for one in known if one.state != OPEN]


def _unsettled(session: Session) -> int:
    waiting = select(EVENTS.c.id).where(EVENTS.c.due_ms.is_not(None)).limit(COUNTED_MAX).subquery()
    return session.connection().execute(select(func.count()).select_from(waiting)).scalar_one()


def _seconds(ms: int) -> float:
    return max(0, ms) / SECOND_MS
