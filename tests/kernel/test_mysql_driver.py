"""Values reach MariaDB as they are, whatever is in them: the short way and the driver's own write the same."""

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymysql.connections import Connection  # type: ignore[import-untyped]  # the driver has no types
from sqlalchemy import String, bindparam, literal, select
from sqlalchemy.orm import Session

from atelier.kernel.database import Database
from atelier.kernel.mysql_driver import DriverConnection
from tests.bounds import examples

VALUES = st.one_of(
    st.none(),
    st.integers(),
    st.booleans(),
    st.text(),
    st.text(alphabet="ab'\"\\%\0\n\r\x1a松🐿"),
    st.binary(),
    st.floats(allow_nan=False, allow_infinity=False),
)


@cache
def _offline(kind: Any) -> Any:
    """One for all examples: a connection makes a TLS context, which takes longer than a hundred of them."""
    connection = kind(defer_connect=True, charset="utf8mb4")
    connection.server_status = 0
    return connection


@given(value=VALUES)
@settings(max_examples=examples(300), deadline=None)
def test_the_short_way_writes_what_the_driver_writes(value: object) -> None:
    assert _offline(DriverConnection).escape(value) == _offline(Connection).escape(value)


@pytest.mark.parametrize("engine", ["mariadb"], indirect=True)
@pytest.mark.parametrize("text", ["", "松鼠🐿", "it's", 'say "hi"', "a\\b", "50 %", "%s %(x)s", "a\0b", "a\nb\r\x1a"])
def test_a_text_comes_back_as_it_went(db: Database, text: str) -> None:
    def asked(session: Session) -> str:
        query = select(literal(text, String), bindparam("beside", type_=String))
        row = session.connection().execute(query, {"beside": text}).one()
        assert row[0] == row[1]
        return str(row[0])

    assert db.read(asked) == text
