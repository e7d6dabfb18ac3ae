"""A message that nobody can handle is kept, once, where it is seen; it stops nobody else's."""

from collections.abc import Callable

import pytest
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from atelier.contracts import dead_messages, outbox
from atelier.contracts.dead_messages import Dead, DeadMessage
from atelier.contracts.messages import JOBS_SWEEP, MAIL_SEND, RUN_TEXT, JobMessage, MailMessage, Tick
from atelier.dispatch import broker, depth
from atelier.dispatch.broker import Application
from atelier.dispatch.relay import Relay
from atelier.dispatch.tasks import bind
from atelier.generation import retention
from atelier.kernel.clock import DAY_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.errors import NotFound
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings


def kept(db: Database) -> list[DeadMessage]:
    return list(db.read(dead_messages.page, before=None, limit=50))


def bury(db: Database, dead: Dead, *, at_ms: int | None = None) -> None:
    db.transact(dead_messages.bury, dead, message_id=new_id(), now_ms=at_ms or now_ms())


def _enqueue_raw(session: Session, *, rows: list[tuple[str, str]]) -> None:
    session.execute(insert(outbox.TABLE), [{"contract": c, "message": m, "created_ms": 1} for c, m in rows])


def test_the_relay_goes_on_past_what_it_can_not_send(db: Database, settings: Callable[..., Settings]) -> None:
    celery = broker.build(settings())
    rows = [("gone.away", "{}"), (JOBS_SWEEP.name, "{not json"), (JOBS_SWEEP.name, "{}"), ("gone.away", "{}")]
    db.transact(_enqueue_raw, rows=rows)
    relay = Relay(app=celery, database=db, idle_seconds=0.01)
    assert relay.move() == 4
    assert db.read(lambda session: session.execute(select(outbox.TABLE.c.id)).all()) == []
    assert depth.depths(celery, [JOBS_SWEEP.queue]) == {JOBS_SWEEP.queue: 1}
    found = {(one.contract, one.reason, one.times) for one in kept(db)}
    assert found == {("gone.away", "unknown_contract", 2), (JOBS_SWEEP.name, "unreadable", 1)}


@pytest.fixture
def app(settings: Callable[..., Settings]) -> Application:
    return broker.build(settings())


class Crash(Exception):
    """A bug."""


def test_a_task_that_dies_over_a_message_leaves_it_to_be_seen(db: Database, app: Application) -> None:
    def crash(_tick: Tick) -> None:
        raise Crash

    task = bind(app, JOBS_SWEEP, crash, bury=lambda dead: bury(db, dead))
    for _ in range(3):
        with pytest.raises(Crash):
            task.run(message={})
    (one,) = kept(db)
    assert (one.contract, one.message, one.reason, one.error, one.times) == (
        *(JOBS_SWEEP.name, "{}", "crashed", "Crash"),
        3,
    )


@pytest.mark.parametrize("message", [None, 5, "x", {}, {"emailId": 5}, ["松鼠"]])
def test_a_message_that_can_not_be_read_is_kept_and_done_with(db: Database, app: Application, message: object) -> None:
    taken: list[MailMessage] = []
    bind(app, MAIL_SEND, taken.append, bury=lambda dead: bury(db, dead)).run(message=message)
    (one,) = kept(db)
    assert (one.contract, one.reason, one.error, taken) == (MAIL_SEND.name, "unreadable", "ValidationError", [])


def test_what_is_refused_or_comes_again_by_itself_is_no_dead_message(db: Database, app: Application) -> None:
    def refuse(_message: JobMessage) -> None:
        raise NotFound

    bind(app, RUN_TEXT, refuse, bury=lambda dead: bury(db, dead)).run(message={"jobId": "x"})
    assert kept(db) == []


def test_there_are_so_many_and_no_more(db: Database) -> None:
    for number in range(7):
        dead = Dead(contract=f"c{number}", message="{}", reason="crashed", error="E")
        db.transact(dead_messages.bury, dead, message_id=new_id(), now_ms=number + 1, rows_max=5)
    assert [one.contract for one in kept(db)] == ["c6", "c5", "c4", "c3", "c2"]


def test_what_has_not_come_for_a_month_is_forgotten(db: Database) -> None:
    dead = Dead(contract="a", message="{}", reason="crashed", error="E")
    bury(db, dead, at_ms=now_ms() - 31 * DAY_MS)
    bury(db, Dead(contract="b", message="{}", reason="crashed", error="E"), at_ms=now_ms() - 29 * DAY_MS)
    retention.prune(db, operations_kept_days=400)
    assert [one.contract for one in kept(db)] == ["b"]
