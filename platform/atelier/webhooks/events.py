"""Events: written in the transaction that causes them, told one after the other to each target.

A message names a target, not an event: whoever receives one takes the target's first event whose time has come. All
times that decide are the database's.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    Executable,
    Row,
    Table,
    bindparam,
    func,
    insert,
    null,
    select,
    union_all,
    update,
)
from sqlalchemy.orm import Session

from atelier.contracts import outbox
from atelier.contracts.messages import WEBHOOKS_DELIVER, WebhookMessage
from atelier.kernel.clock import MINUTE_MS, db_now_ms
from atelier.kernel.database import matched
from atelier.webhooks import endpoints, states
from atelier.webhooks.models import ATTEMPTS, ENDPOINTS, EVENTS, JOB_WEBHOOKS

E = EVENTS.c
A = ATTEMPTS.c
LEASE_MS = 2 * MINUTE_MS
OVERDUE_MS = 2 * MINUTE_MS
TARGETS_MAX = 200
EVENTS_MAX = 2_000
LOST = "WORKER_LOST"


class Ended(NamedTuple):
    """A job that ends in this transaction. `cause_id` is an id of this ending and no other: event ids come of it."""

    job_id: str
    state: str
    cause_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJobWebhook:
    """Who wants to hear of one job."""

    job_id: str
    user_id: str
    url: str
    events: Sequence[str] = endpoints.ALL


def follow(session: Session, new: Iterable[NewJobWebhook], *, now_ms: int) -> None:
    """Note who wants to hear of these jobs."""
    rows = [
        {
            "job_id": one.job_id,
            "user_id": one.user_id,
            "url": one.url,
            "events": endpoints.joined(one.events),
            "created_ms": now_ms,
        }
        for one in new
    ]
    if rows:
        session.connection().execute(insert(JOB_WEBHOOKS), rows)


def of_job(session: Session, *, job_id: str) -> NewJobWebhook | None:
    """Who wants to hear of a job."""
    return of_jobs(session, job_ids=[job_id]).get(job_id)


def of_jobs(session: Session, *, job_ids: Sequence[str]) -> dict[str, NewJobWebhook]:
    """Who wants to hear of each of these jobs."""
    rows = session.connection().execute(select(JOB_WEBHOOKS).where(JOB_WEBHOOKS.c.job_id.in_(job_ids)))
    return {
        row.job_id: NewJobWebhook(
            job_id=row.job_id, user_id=row.user_id, url=row.url, events=endpoints.split(row.events)
        )
        for row in rows
    }


def record(session: Session, ended: Sequence[Ended], *, owners: Table, now_ms: int) -> int:
    """Write an event for everyone who wants to hear of these endings, and send the messages; how many.

    `owners` is a table of jobs with `id` and `user_id`. For jobs that nobody follows this is one SELECT.
    """
    if not ended:
        return 0
    by_job = {one.job_id: one for one in ended}
    found = session.connection().execute(_listeners(owners), {"job_ids": list(by_job)}).all()
    listening = [one for one in found if not one.events or _kind(by_job[one.job_id]) in endpoints.split(one.events)]
    full = _full(session, sorted({one.endpoint_id for one in listening if one.endpoint_id}))
    rows = [_row(by_job[one.job_id], one, crowded=one.endpoint_id in full, now_ms=now_ms) for one in listening]
    if rows:
        session.connection().execute(insert(EVENTS), rows)
        tell(session, [row["target_id"] for row in rows if row["state"] == states.WAITING], now_ms=now_ms)
    return len(rows)


@lru_cache(maxsize=4)
def _listeners(owners: Table) -> Executable:
    """Who hears of the jobs `job_ids`; made once, because every settlement asks it."""
    job_ids: BindParameter[Any] = bindparam("job_ids", expanding=True)
    everything = (
        select(
            owners.c.id.label("job_id"),
            owners.c.user_id,
            ENDPOINTS.c.id.label("endpoint_id"),
            ENDPOINTS.c.events,
            db_now_ms().label("now_ms"),
        )
        .join_from(owners, ENDPOINTS, ENDPOINTS.c.user_id == owners.c.user_id)
        .where(owners.c.id.in_(job_ids), ENDPOINTS.c.enabled == 1)
    )
    hooks = JOB_WEBHOOKS.c
    single = select(hooks.job_id, hooks.user_id, null().label("endpoint_id"), hooks.events, db_now_ms()).where(
        hooks.job_id.in_(job_ids)
    )
    return union_all(everything, single)


def _full(session: Session, endpoint_ids: Sequence[str]) -> frozenset[str]:
    """For which of these endpoints as many events wait as may; counted once each, however many jobs end."""
    if not endpoint_ids:
        return frozenset()
    crowds = (
        select(E.target_id)
        .where(E.target_id.in_(endpoint_ids), E.state == states.WAITING, E.in_order == 1)
        .group_by(E.target_id)
        .having(func.count() >= states.WAITING_MAX)
    )
    return frozenset(session.connection().execute(crowds).scalars())


def _kind(one: Ended) -> str:
    return f"job.{one.state}"


def _row(one: Ended, listener: Row[Any], *, crowded: bool, now_ms: int) -> dict[str, Any]:
    target_id = listener.endpoint_id or one.job_id
    return {
        "id": _id(one.cause_id, target_id),
        "user_id": listener.user_id,
        "target_id": target_id,
        "endpoint_id": listener.endpoint_id,
        "job_id": one.job_id,
        "type": _kind(one),
        "state": states.FAILED if crowded else states.WAITING,
        "error": states.TOO_MANY_WAITING if crowded else None,
        "due_ms": None if crowded else listener.now_ms,
        "wake_ms": None if crowded else listener.now_ms + OVERDUE_MS,
        "created_ms": now_ms,
        "ended_ms": now_ms if crowded else None,
    }


def _id(cause_id: str, target_id: str) -> str:
    """The same in every run of the same transaction: the cause's time, and of the rest what cause and target make."""
    tail = hashlib.sha256(f"{cause_id}\n{target_id}".encode()).hexdigest()
    return f"{cause_id[:15]}{tail[:3]}-a{tail[3:6]}-{tail[6:18]}"


def tell(session: Session, target_ids: Iterable[str], *, now_ms: int) -> None:
    """Send a message for each of these targets."""
    messages = [(WEBHOOKS_DELIVER, WebhookMessage(target_id=one)) for one in dict.fromkeys(target_ids)]
    outbox.enqueue_many(session, messages, now_ms=now_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """An event that this process may tell, until the lease is over; only this attempt may say how it went.

    `url` is None when nobody is to be told any more.
    """

    event_id: str
    user_id: str
    target_id: str
    endpoint_id: str | None
    job_id: str | None
    type: str
    attempt: int
    tries: int
    attempt_id: str
    in_order: bool
    created_ms: int
    url: str | None

    @property
    def owner_id(self) -> str:
        """Whose secret signs."""
        return self.endpoint_id or self.user_id


def owner(session: Session, *, target_id: str) -> str | None:
    """The user for whose target something waits."""
    waiting = select(E.user_id).where(E.target_id == target_id, E.state == states.WAITING).limit(1)
    return session.connection().execute(waiting).scalar_one_or_none()


def claim(session: Session, *, target_id: str, attempt_id: str, now_ms: int) -> Claimed | None:
    """Take the target's next event; None when nothing is due there, or somebody else is at it."""
    row = _next(session, target_id)
    if row is None:
        return None
    taken = matched(
        session,
        update(EVENTS)
        .where(E.id == row.id, E.state == states.WAITING, E.attempts == row.attempts, E.due_ms <= db_now_ms())
        .values(
            attempts=E.attempts + 1,
            tries=E.tries + 1,
            due_ms=db_now_ms() + LEASE_MS,
            wake_ms=db_now_ms() + LEASE_MS + OVERDUE_MS,
        ),
    )
    if not taken:
        return None
    if row.attempts:
        lost = (A.event_id == row.id, A.ended_ms.is_(None), A.error.is_(None))
        session.connection().execute(update(ATTEMPTS).where(*lost).values(error=LOST))
    number = row.attempts + 1
    begun = {"id": attempt_id, "event_id": row.id, "number": number, "started_ms": now_ms}
    session.connection().execute(insert(ATTEMPTS).values(begun))
    return Claimed(
        event_id=row.id,
        user_id=row.user_id,
        target_id=target_id,
        endpoint_id=row.endpoint_id,
        job_id=row.job_id,
        type=row.type,
        attempt=number,
        tries=row.tries + 1,
        attempt_id=attempt_id,
        in_order=bool(row.in_order),
        created_ms=row.created_ms,
        url=_url(session, row),
    )


def _next(session: Session, target_id: str) -> Row[Any] | None:
    """What was asked for by hand and is due, else the oldest that waits in its turn, if that is due."""
    waiting = select(EVENTS, (E.due_ms <= db_now_ms()).label("due")).where(
        E.target_id == target_id, E.state == states.WAITING
    )
    by_hand = waiting.where(E.in_order == 0, E.due_ms <= db_now_ms()).order_by(E.id).limit(1)
    if (row := session.connection().execute(by_hand).one_or_none()) is not None:
        return row
    row = session.connection().execute(waiting.where(E.in_order == 1).order_by(E.id).limit(1)).one_or_none()
    if row is None or row.due:
        return row
    # Those behind it need no message of their own before it has its turn.
    session.connection().execute(
        update(EVENTS)
        .where(E.target_id == target_id, E.state == states.WAITING, E.in_order == 1, E.wake_ms < row.wake_ms)
        .values(wake_ms=row.wake_ms)
    )
    return None


def _url(session: Session, row: Row[Any]) -> str | None:
    if row.endpoint_id is None:
        columns = JOB_WEBHOOKS.c
        return (
            session.connection().execute(select(columns.url).where(columns.job_id == row.job_id)).scalar_one_or_none()
        )
    on = select(ENDPOINTS.c.url).where(ENDPOINTS.c.id == row.endpoint_id, ENDPOINTS.c.enabled == 1)
    return session.connection().execute(on).scalar_one_or_none()


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """How an attempt went: `error` None means well. `wait_ms` None means that it is not tried again."""

    status: int | None = None
    answer: str | None = None
    error: str | None = None
    duration_ms: int = 0
    wait_ms: int | None = None


def settle(session: Session, claimed: Claimed, heard: Heard, *, now_ms: int) -> bool:
    """Write how the attempt went; False, with nothing written of the event, when the claim had passed to another."""
    session.connection().execute(
        update(ATTEMPTS)
        .where(A.id == claimed.attempt_id)
        .values(
            status=heard.status,
            answer=heard.answer,
            error=heard.error,
            duration_ms=heard.duration_ms,
            ended_ms=now_ms,
        )
    )
    if heard.error is None:
        values: dict[str, Any] = {"state": states.DELIVERED, "error": None}
    elif heard.wait_ms is None:
        values = {"state": states.FAILED, "error": heard.error}
    else:
        due = db_now_ms() + heard.wait_ms
        values = {"error": heard.error, "due_ms": due, "wake_ms": due}
    if "state" in values:
        values |= {"due_ms": None, "wake_ms": None, "ended_ms": now_ms}
    mine = (E.id == claimed.event_id, E.state == states.WAITING, E.attempts == claimed.attempt)
    return matched(session, update(EVENTS).where(*mine).values(values)) == 1


def later(session: Session, *, target_id: str, wait_ms: int) -> None:
    """Have a message for this target sent after a while: there is no room for it now."""
    session.connection().execute(
        update(EVENTS)
        .where(E.target_id == target_id, E.state == states.WAITING, E.due_ms <= db_now_ms())
        .values(wake_ms=db_now_ms() + wait_ms)
    )


def requeue_overdue(session: Session, *, now_ms: int) -> int:
    """Send a message for targets whose time has come, and for those whose message was lost; answers how many."""
    due = select(E.target_id).where(E.wake_ms <= db_now_ms()).order_by(E.wake_ms).limit(EVENTS_MAX)
    target_ids = list(dict.fromkeys(session.connection().execute(due).scalars()))[:TARGETS_MAX]
    if target_ids:
        session.connection().execute(
            update(EVENTS)
            .where(E.target_id.in_(target_ids), E.wake_ms <= db_now_ms())
            .values(wake_ms=db_now_ms() + OVERDUE_MS)
        )
        tell(session, target_ids, now_ms=now_ms)
    return len(target_ids)
