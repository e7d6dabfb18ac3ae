"""The relay and a broker that comes and goes."""

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from atelier.contracts import outbox
from atelier.contracts.messages import MAIL_SEND, RUN_TEXT, JobMessage, MailMessage
from atelier.contracts.outbox import TABLE
from atelier.dispatch import broker
from atelier.dispatch.broker import Application
from atelier.dispatch.relay import BROKER_AWAY, Relay
from atelier.kernel.clock import db_now_ms, now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from tests.servers import ValkeyServer, free_port, until

USED, UNUSED = RUN_TEXT.queue, MAIL_SEND.queue


def _due(session: Session) -> int:
    return len(session.connection().execute(select(TABLE.c.id).where(TABLE.c.available_ms <= db_now_ms())).all())


def _kept(session: Session) -> int:
    return len(session.connection().execute(select(TABLE.c.id)).all())


def _relay(chosen: Settings, db: Database, looks: list[int]) -> Relay:
    return Relay(app=broker.build(chosen), database=db, idle_seconds=0.01, alive=lambda: looks.append(1))


def test_what_could_not_be_published_is_due_at_once(db: Database, settings: Callable[..., Settings]) -> None:
    chosen, looks = settings(), list[int]()
    db.transact(outbox.enqueue, RUN_TEXT, JobMessage(job_id=new_id()), now_ms=now_ms())
    away = chosen.model_copy(update={"broker_url": f"redis://127.0.0.1:{free_port()}/0"})
    with pytest.raises(BROKER_AWAY):
        _relay(away, db, looks).move()
    assert (db.read(_due), db.read(_kept)) == (1, 1)
    assert _relay(chosen, db, looks).move() == 1
    assert db.read(_kept) == 0


def test_every_look_shows_that_it_lives(db: Database, settings: Callable[..., Settings]) -> None:
    looks = list[int]()
    relay = _relay(settings(), db, looks)
    mover = threading.Thread(target=relay.run)
    mover.start()
    until(lambda: len(looks) > 2, what="it has looked")
    relay.stop()
    mover.join(10)
    assert not mover.is_alive()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
class TestAnythingMayHappenToTheBroker:
    """The loop goes on, whether the message's queue was used before, or is to be declared at that moment."""

    @pytest.mark.parametrize("queue", [USED, UNUSED])
    def test_its_memory_is_full(
        self, db: Database, settings: Callable[..., Settings], valkey_server: Callable[..., ValkeyServer], queue: str
    ) -> None:
        server = valkey_server()
        with moving(db, _app(settings, server)) as looks, server.client() as client:
            client.config_set("maxmemory", 1)
            _send(db, queue)
            _looks_again(looks)
            client.config_set("maxmemory", 0)
            until(lambda: not db.read(_kept), what="it goes out")

    @pytest.mark.parametrize("queue", [USED, UNUSED])
    def test_it_became_a_replica(
        self, db: Database, settings: Callable[..., Settings], valkey_server: Callable[..., ValkeyServer], queue: str
    ) -> None:
        server = valkey_server()
        with moving(db, _app(settings, server)) as looks, server.client() as client:
            client.replicaof("127.0.0.1", free_port())
            _send(db, queue)
            _looks_again(looks)
            client.replicaof("NO", "ONE")
            until(lambda: not db.read(_kept), what="it goes out")

    def test_it_does_not_answer(
        self, db: Database, settings: Callable[..., Settings], valkey_server: Callable[..., ValkeyServer]
    ) -> None:
        server = valkey_server()
        app = _app(settings, server)
        app.conf.broker_transport_options["socket_timeout"] = 0.2
        with moving(db, app) as looks:
            server.freeze()
            _send(db, UNUSED)
            _looks_again(looks)
            server.thaw()
            until(lambda: not db.read(_kept), what="it goes out")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_bug_with_one_message_keeps_no_other_from_going_out(db: Database, settings: Callable[..., Settings]) -> None:
    app: Any = broker.build(settings())
    with moving(db, app) as looks:
        lost = app.amqp.queues.pop(MAIL_SEND.queue)
        db.transact(_enqueue, queues=(USED, UNUSED, USED))
        until(lambda: db.read(_kept) == 1, what="those that there is nothing wrong with go out")
        _looks_again(looks)
        assert db.read(_kept) == 1
        app.amqp.queues[MAIL_SEND.queue] = lost
        db.transact(_end_claims)
        until(lambda: not db.read(_kept), what="the other goes out")


def _app(settings: Callable[..., Settings], server: ValkeyServer) -> Application:
    return broker.build(settings(redis_url=server.url))


@contextmanager
def moving(db: Database, app: Application) -> Generator[list[int]]:
    """A relay that has moved a message of USED and goes on, also at the end; it adds to this whenever it looks."""
    looks = list[int]()
    relay = Relay(app=app, database=db, idle_seconds=0.01, alive=lambda: looks.append(1))
    mover = threading.Thread(target=relay.run)
    _send(db, USED)
    mover.start()
    try:
        until(lambda: not db.read(_kept), what="the first message goes out")
        yield looks
        assert mover.is_alive()
    finally:
        relay.stop()
        mover.join(10)


def _send(db: Database, queue: str) -> None:
    db.transact(_enqueue, queues=(queue,))


def _enqueue(session: Session, *, queues: Sequence[str]) -> None:
    """A message for each of these queues, for one batch."""
    for queue in queues:
        if queue == USED:
            outbox.enqueue(session, RUN_TEXT, JobMessage(job_id=new_id()), now_ms=now_ms())
        else:
            outbox.enqueue(session, MAIL_SEND, MailMessage(email_id=new_id()), now_ms=now_ms())


def _looks_again(looks: list[int]) -> None:
    seen = len(looks)
    until(lambda: len(looks) > seen + 1, what="it looks again")


def _end_claims(session: Session) -> None:
    session.connection().execute(update(TABLE).values(available_ms=0))
