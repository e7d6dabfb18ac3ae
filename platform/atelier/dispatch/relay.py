"""From the outbox to the broker, in batches, at least once.

1. Claim: take due rows for a lease, in a short transaction.
2. Publish: one batch, outside any transaction. Its failure is ambiguous: the rows are due again at once, and what was
   published all the same comes twice. A broker that is there and takes nothing has failed too.
3. Delete what was published. A relay that dies between 2 and 3 publishes twice too; the claim of a job absorbs it.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from amqp.exceptions import AMQPError
from celery import Celery
from kombu.exceptions import KombuError
from pydantic_core import from_json
from redis import RedisError
from sqlalchemy import Integer, String, bindparam, delete, select, update
from sqlalchemy.orm import Session

from atelier.contracts import dead_messages, messages
from atelier.contracts.dead_messages import Dead, Reason
from atelier.contracts.outbox import TABLE
from atelier.kernel import faults, logs
from atelier.kernel.clock import db_now_ms, now_ms
from atelier.kernel.database import Database, any_of
from atelier.kernel.errors import Transient
from atelier.kernel.ids import new_id

BATCH_MAX = 500
CLAIM_MS = 15_000
FAILURE_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
# Kombu wraps what it hears while it connects. While it declares a queue, what the libraries beneath it say comes as it
# is: that the broker's memory is full, that it became a replica, that it doesn't answer.
BROKER_AWAY = (KombuError, RedisError, AMQPError, OSError)
log = logs.get(__name__)
T = TABLE.c


@dataclass(frozen=True, slots=True)
class Row:
    """A claimed message."""

    id: int
    contract: str
    message: str


def claim(session: Session, *, claimant: str, limit: int = BATCH_MAX) -> list[Row]:
    """Take due rows for a lease. Rows that another relay holds are passed over, not waited for."""
    rows = session.connection().execute(_DUE, {"most": limit}).all()
    if rows:
        session.connection().execute(_CLAIM, {"ids": [row.id for row in rows], "by": claimant})
    return [Row(row.id, row.contract, row.message) for row in rows]


_DUE = (
    select(T.id, T.contract, T.message)
    .where(T.available_ms <= db_now_ms())
    .order_by(T.id)
    .limit(bindparam("most", type_=Integer))
    .with_for_update(skip_locked=True)
)
_CLAIM = (
    update(TABLE)
    .where(T.id.in_(any_of("ids")))
    .values(claimed_by=bindparam("by", type_=String), available_ms=db_now_ms() + CLAIM_MS, tries=T.tries + 1)
)


def finish(session: Session, *, claimant: str, ids: Sequence[int]) -> None:
    """Forget rows that were published, unless the lease passed to another relay."""
    session.connection().execute(_FINISH, {"ids": ids, "by": claimant})


_FINISH = delete(TABLE).where(T.id.in_(any_of("ids")), T.claimed_by == bindparam("by"))


def give_back(session: Session, *, claimant: str, ids: Sequence[int]) -> None:
    """Let rows be due at once that could not be published, unless the lease passed to another relay."""
    mine = (T.id.in_(ids), T.claimed_by == claimant)
    session.connection().execute(update(TABLE).where(*mine).values(available_ms=db_now_ms()))


def _batch(producer: Any, size: int) -> AbstractContextManager[Any]:
    """One pipeline for all messages that are sent inside: on Redis since kombu 5.7, whose types don't know it yet."""
    batch = getattr(producer, "batch", None)
    return batch(max(1, size)) if batch else nullcontext()


class Relay:
    """Moves messages until stopped. `wake()` after a commit makes it look at once; `alive` is called with each look."""

    def __init__(
        self, *, app: Celery, database: Database, idle_seconds: float, alive: Callable[[], None] = lambda: None
    ) -> None:
        self._app = app
        self._database = database
        self._idle_seconds = idle_seconds
        self._alive = alive
        self._claimant = new_id()
        self._wake = threading.Event()
        self._stopped = threading.Event()

    def wake(self) -> None:
        """There is something to send."""
        self._wake.set()

    def stop(self) -> None:
        """Finish the current batch and end."""
        self._stopped.set()
        self._wake.set()

    def run(self) -> None:
        """Move messages until `stop`. Nothing else ends it: nobody would begin again where it is a thread."""
        failures = 0
        while not self._stopped.is_set():
            wait = FAILURE_SECONDS[min(failures, len(FAILURE_SECONDS) - 1)]
            try:
                self._alive()
                moved = self.move()
            except (*BROKER_AWAY, Transient) as error:
                log.warning("relay.failed", error=type(error).__name__, wait_seconds=wait)
            except Exception:
                log.exception("relay.bug", wait_seconds=wait)
            else:
                failures = 0
                if moved < BATCH_MAX:
                    self._wake.wait(self._idle_seconds)
                    self._wake.clear()
                continue
            failures += 1
            self._stopped.wait(wait)

    def move(self) -> int:
        """Move one batch; how many messages. Raises when the broker is away: the rows are due again at once."""
        rows = self._database.transact(claim, claimant=self._claimant)
        if not rows:
            return 0
        faults.point("relay.after_claim")
        ids = [row.id for row in rows]
        try:
            sent = self._sent(rows)
        except BROKER_AWAY:
            self._database.transact(give_back, claimant=self._claimant, ids=ids)
            raise
        faults.point("relay.after_publish")
        self._database.transact(finish, claimant=self._claimant, ids=sent)
        faults.point("relay.after_finish")
        return len(sent)

    def _sent(self, rows: Sequence[Row]) -> list[int]:
        """Publish these; the ids of those that were.

        What a bug keeps from being published keeps nothing else: the others are sent one by one, some of them perhaps
        once more, and it is due again when its claim ends.
        """
        try:
            self._publish(rows)
        except BROKER_AWAY:
            raise
        except Exception:
            log.exception("relay.bug", outbox_ids=[row.id for row in rows])
            return [id_ for row in rows for id_ in self._sent([row])] if len(rows) > 1 else []
        return [row.id for row in rows]

    def _publish(self, rows: Sequence[Row]) -> None:
        known: list[tuple[Row, Any]] = []
        for row in rows:
            # A message that no task would take is kept to be looked at: on the broker it would be dropped silently.
            if row.contract not in messages.ALL:
                self._bury(row, "unknown_contract", "")
                continue
            try:
                known.append((row, from_json(row.message)))
            except ValueError as error:
                self._bury(row, "unreadable", type(error).__name__)
        with self._app.producer_pool.acquire(block=True, timeout=3) as producer, _batch(producer, len(known)):
            for queue in {messages.ALL[row.contract].queue for row, _ in known}:
                producer.maybe_declare(self._app.amqp.queues[queue])
            for row, message in known:
                contract = messages.ALL[row.contract]
                self._app.send_task(
                    contract.name,
                    kwargs={"message": message},
                    queue=contract.queue,
                    producer=producer,
                    retry=False,
                    # Its queue is declared, it has no result, and it is written down already: to find that out again
                    # was a third of the time that a message takes here.
                    declare=[],
                    ignore_result=True,
                    argsrepr="()",
                    kwargsrepr=row.message,
                )
                faults.point("relay.mid_batch")

    def _bury(self, row: Row, reason: Reason, error: str) -> None:
        log.error("relay.message_dead", contract=row.contract, outbox_id=row.id, reason=reason)
        dead = Dead(contract=row.contract, message=row.message, reason=reason, error=error)
        self._database.transact(dead_messages.bury, dead, message_id=new_id(), now_ms=now_ms())
