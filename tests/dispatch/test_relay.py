"""The relay and a broker that comes and goes."""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.contracts import outbox
from atelier.contracts.messages import RUN_TEXT, JobMessage
from atelier.contracts.outbox import TABLE
from atelier.dispatch import broker
from atelier.dispatch.relay import BROKER_AWAY, Relay
from atelier.kernel.clock import db_now_ms, now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from tests.servers import free_port, until


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
