"""Stored answers: one per user, route and key; the same body gets it again, another body is refused."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.contracts import idempotency
from atelier.contracts.idempotency import IdempotencyInProgress, IdempotencyKeyReused, Keyed, Promised, Stored
from atelier.kernel.database import Again, Database, is_duplicate
from atelier.ledger import service as ledger
from tests.jobs.lifecycle import Workshop


def a_key(*, user_id: str = "u", route: str = "POST /x", key: str = "k", body: bytes = b"{}") -> Keyed:
    return idempotency.keyed(user_id=user_id, route=route, key=key, body=body)


def store(session: Session, keyed: Keyed | None, *, answer: object = "done") -> None:
    idempotency.store(session, keyed, status=202, answer=answer, now_ms=5)


def test_an_answer_is_found_as_it_was_given(db: Database) -> None:
    answer: dict[str, Any] = {"success": True, "text": "松鼠 “ok”", "n": [1, 2.5, None], "deep": {"a": {}}}
    assert db.read(idempotency.find, a_key()) is None
    db.transact(store, a_key(), answer=answer)
    assert db.read(idempotency.find, a_key()) == Stored(fingerprint=a_key().fingerprint, status=202, answer=answer)


@pytest.mark.parametrize(
    "other",
    [a_key(user_id="v"), a_key(route="POST /y"), a_key(key="K"), a_key(key="k "), a_key(user_id="u\nPOST", route="/x")],
)
def test_another_user_route_or_key_finds_nothing(db: Database, other: Keyed) -> None:
    db.transact(store, a_key())
    assert db.read(idempotency.find, other) is None


def test_another_body_is_refused(db: Database) -> None:
    db.transact(store, a_key())
    with pytest.raises(IdempotencyKeyReused):
        db.read(idempotency.find, a_key(body=b"{ }"))


def test_what_is_stored_can_be_looked_at_whatever_it_was_for(db: Database) -> None:
    db.transact(idempotency.promise, Promised(keyed=a_key(), status=200, answer="done"), now_ms=5)
    found = db.read(idempotency.look, a_key(body=b"{ }"))
    assert found == Stored(fingerprint=a_key().fingerprint, status=200, answer="done")


@pytest.mark.parametrize("engine", ["mariadb"], indirect=True)  # SQLite has no locks of rows
def test_a_key_that_another_transaction_does_not_let_go_is_in_progress(db: Database) -> None:
    @event.listens_for(db.writer, "connect")
    def configure(connection: Any, _record: object) -> None:  # pyright: ignore[reportUnusedFunction]
        with connection.cursor() as cursor:
            cursor.execute("SET innodb_lock_wait_timeout=1")

    with Session(db.writer) as another:
        store(another, a_key())
        with pytest.raises(IdempotencyInProgress):
            db.transact(store, a_key())
        db.transact(store, a_key(key="another"))
        another.commit()
    with Session(db.writer) as late, pytest.raises(Again):
        store(late, a_key())


def test_without_a_key_nothing_is_kept_or_found(db: Database) -> None:
    db.transact(store, None)
    db.transact(idempotency.promise, None, now_ms=5)
    assert db.read(idempotency.look, None) is None
    assert db.read(idempotency.find, None) is None
    assert db.read(idempotency.find_many, []) == {}


def test_many_are_found_in_one_look(db: Database) -> None:
    keys = [a_key(key=str(number)) for number in range(50)]
    db.transact(idempotency.store_many, [(one, 200, number) for number, one in enumerate(keys)], now_ms=1)
    found = db.read(idempotency.find_many, [one.key for one in [*keys, a_key(key="none")]])
    assert [found[one.key].answer for one in keys] == list(range(50))


def test_an_answer_is_kept_with_the_work_or_not_at_all(db: Database) -> None:
    def work(session: Session) -> None:
        store(session, a_key())
        raise LookupError

    with pytest.raises(LookupError):
        db.transact(work)
    assert db.read(idempotency.find, a_key()) is None


def test_of_many_at_once_one_does_the_work_and_all_get_its_answer(database_url: str) -> None:
    shop = Workshop(Database(database_url, pool_size=12))
    user_id, start = shop.user(), threading.Barrier(20)

    def work(session: Session, *, number: int) -> object:
        if stored := idempotency.find(session, a_key()):
            return stored.answer
        try:
            store(session, a_key(), answer=number)
        except IntegrityError as error:
            if is_duplicate(error):
                raise Again from error
            raise
        ledger.topup(session, shop.entry(user_id, 5, "topup"), now_ms=1)
        return number

    def call(number: int) -> object:
        start.wait(10)
        return shop.db.transact(work, number=number)

    with ThreadPoolExecutor(20) as pool:
        answers = set(pool.map(call, range(20)))
    assert len(answers) == 1
    assert shop.balance(user_id).balance == 5
    shop.db.close()
