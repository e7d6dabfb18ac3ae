"""Columns that mean the same on each database."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, Table, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.kernel.columns import Id, JsonDoc, Key, LongText, Millis, Name, Serial
from atelier.kernel.database import Database, is_duplicate

THINGS = Table(
    "things",
    MetaData(),
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("key", Key(20), unique=True),
    Column("other", Id()),
    Column("name", Name(20), unique=True),
    Column("document", JsonDoc()),
    Column("text", LongText()),
    Column("at_ms", Millis),
)


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    made = Database(database_url, pool_size=1)
    THINGS.create(made.writer)
    yield made
    THINGS.drop(made.writer)
    made.close()


def write(session: Session, /, **values: Any) -> None:
    session.execute(insert(THINGS).values(**values))


def read(session: Session, column: str) -> list[Any]:
    return list(session.execute(select(THINGS.c[column]).order_by(THINGS.c.id)).scalars())


DOCUMENTS: list[Any] = [None, {}, [], {"a": [1, -2.5, True, None, "松鼠🐿", {"b": {}}]}, "text", 0, "x" * 100_000]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_comes_back_as_it_went(db: Database, document: Any) -> None:
    db.transact(write, document=document)
    assert db.read(read, "document") == [document]


def test_keys_and_names_that_differ_in_case_or_accent_are_different(db: Database) -> None:
    for key in ("key", "Key", "KEY"):
        db.transact(write, key=key)
    for name in ("resume", "résumé", "Resume", "ﬁsh", "fish", "松鼠", "松鼠🐿"):
        db.transact(write, name=name)
    with pytest.raises(IntegrityError) as caught:
        db.transact(write, name="松鼠")
    assert is_duplicate(caught.value)


def test_numbers_grow_by_themselves_and_hold_milliseconds_of_any_age(db: Database) -> None:
    for at_ms in (-(2**62), 0, 2**62):
        db.transact(write, at_ms=at_ms)
    assert db.read(read, "id") == [1, 2, 3]
    assert db.read(read, "at_ms") == [-(2**62), 0, 2**62]


def test_a_long_text_is_kept_whole(db: Database) -> None:
    text = "松鼠🐿\n" * 100_000
    db.transact(write, text=text)
    assert db.read(read, "text") == [text]
