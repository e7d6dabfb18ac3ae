"""A ledger that was written before there were shares can be read after the change, and changed back."""

from collections.abc import Iterable
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import ColumnClause, column, insert, select, table
from sqlalchemy.orm import Session

from atelier.kernel.database import Database
from atelier.ledger.models import CLEARING, PLATFORM

USER = "01990000-0000-7000-8000-0000000000aa"
HOLD = "01990000-0000-7000-8000-000000000101"
CAPTURE = "01990000-0000-7000-8000-000000000102"
NOTHING = "01990000-0000-7000-8000-000000000103"
ACCOUNT = {
    "id": USER,
    "kind": "user",
    "credits_posted": 10,
    "debits_posted": 3,
    "debits_pending": 0,
    "version": 3,
    "created_ms": 0,
}


def _transfer(
    transfer_id: str, kind: str, job: str, *, amount: int, version: int, pending: str | None
) -> dict[str, Any]:
    return {
        "id": transfer_id,
        "key": f"{kind}:job:{job}",
        "kind": kind,
        "debit_id": USER,
        "credit_id": CLEARING,
        "amount": amount,
        "pending_id": pending,
        "account_id": USER,
        "account_version": version,
        "balance_after": 7,
        "ref_type": "job",
        "ref_id": job,
        "note": "回声",
        "created_ms": 5,
    }


def _columns(names: Iterable[str]) -> list[ColumnClause[Any]]:
    return [column(name) for name in names]


ROWS = [
    _transfer(HOLD, "hold", "j1", amount=3, version=1, pending=None),
    _transfer(CAPTURE, "capture", "j1", amount=3, version=2, pending=HOLD),
    _transfer(NOTHING, "capture", "j2", amount=0, version=3, pending="x"),
]
TRANSFERS = table("transfers", *_columns(ROWS[0]))
ACCOUNTS = table("accounts", *_columns(ACCOUNT))


def write(session: Session) -> None:
    session.execute(insert(ACCOUNTS), ACCOUNT)
    session.execute(insert(TRANSFERS), ROWS)


def shares(session: Session) -> list[dict[str, Any]]:
    return [dict(row) for row in session.execute(select(TRANSFERS).where(TRANSFERS.c.kind == "share")).mappings()]


def test_what_was_captured_before_becomes_the_platforms(empty_database_url: str) -> None:
    history = Config()
    history.set_main_option("script_location", "atelier:migrations")
    history.attributes["address"] = empty_database_url
    command.upgrade(history, "0002")
    db = Database(empty_database_url, pool_size=1)
    db.transact(write)
    command.upgrade(history, "0003")
    assert db.read(shares) == [
        {
            **ROWS[1],
            "id": CAPTURE[:19] + "c" + CAPTURE[20:],
            "key": "share:job:j1:platform",
            "kind": "share",
            "debit_id": CLEARING,
            "credit_id": PLATFORM,
            **dict.fromkeys(("pending_id", "account_id", "account_version", "balance_after")),
        }
    ]
    command.downgrade(history, "0002")
    assert db.read(shares) == []
    command.upgrade(history, "head")
    assert len(db.read(shares)) == 1
    db.close()
