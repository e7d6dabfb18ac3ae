"""The books of the sandbox: one SQLite file that is only ever added to. What a trade is follows from what was written.

Whatever happens is written in one transaction with the notice that tells of it, so a killed sandbox forgets neither.
"""

import json
import sqlite3
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sandbox.trade import NewNotice, NewRefund, NewTrade, Notice, Payment, Refund, Trade

_FILE: Final = "books.db"
_TABLES: Final = {
    "trades": "provider TEXT, order_no TEXT, trade_no TEXT UNIQUE, token TEXT UNIQUE, amount_fen INTEGER,"
    " currency TEXT, subject TEXT, channel TEXT, notify_url TEXT, return_url TEXT, payer TEXT,"
    " created_ms INTEGER, expires_ms INTEGER, UNIQUE (provider, order_no)",
    "marks": "trade_id INTEGER REFERENCES trades (id), kind TEXT, at_ms INTEGER",
    "payments": "trade_id INTEGER REFERENCES trades (id), payment_no TEXT UNIQUE, amount_fen INTEGER, buyer TEXT,"
    " at_ms INTEGER",
    "refunds": "trade_id INTEGER REFERENCES trades (id), refund_no TEXT, gateway_no TEXT UNIQUE, amount_fen INTEGER,"
    " reason TEXT, notify_url TEXT, at_ms INTEGER, UNIQUE (trade_id, refund_no)",
    "refund_ends": "refund_id INTEGER UNIQUE REFERENCES refunds (id), state TEXT, at_ms INTEGER",
    "notices": "trade_id INTEGER REFERENCES trades (id), kind TEXT, key TEXT UNIQUE, url TEXT, content TEXT,"
    " at_ms INTEGER",
    "attempts": "notice_id INTEGER REFERENCES notices (id), outcome TEXT, status INTEGER, answer TEXT, faults TEXT,"
    " last INTEGER, at_ms INTEGER",
}
_INDEXES: Final = (
    *("marks (trade_id)", "payments (trade_id)", "payments (at_ms)", "refunds (trade_id)", "refund_ends (at_ms)"),
    *("notices (trade_id)", "attempts (notice_id)", "attempts (last)"),
)
_ENDED: Final = ("SUCCESS", "CLOSED", "ABNORMAL")


class Books:
    """Use it from one thread."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / _FILE
        self._open()

    def _open(self) -> None:
        self._db = sqlite3.connect(self._path, isolation_level=None, cached_statements=256)
        self._db.row_factory = sqlite3.Row
        # What is committed survives a killed process; only a power cut may take the last moments.
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            self._db.execute(f"PRAGMA {pragma}")
        with self._together():
            for statement in _schema():
                self._db.execute(statement)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def begin_anew(self) -> None:
        """Burn the books and begin empty ones: for tests that share a sandbox."""
        self._db.close()
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        self._open()

    # -- writing

    def add_trade(self, new: NewTrade) -> Trade:
        """A trade that somebody ordered."""
        with self._together():
            trade_id = self._add("trades", new.columns())
        return self._whole(trade_id)

    def mark(self, trade: Trade, kind: str, *, at_ms: int, notice: NewNotice | None = None) -> Trade:
        """It was `opened`, `closed`, `failed` or `finished`."""
        with self._together():
            self._add("marks", {"trade_id": trade.id, "kind": kind, "at_ms": at_ms})
            self._announce(trade, notice)
        return self._whole(trade.id)

    def add_payment(self, trade: Trade, payment: Payment, *, notice: NewNotice | None) -> Trade:
        """Somebody has paid."""
        with self._together():
            self._add("payments", {"trade_id": trade.id, **payment.columns()})
            self._announce(trade, notice)
        return self._whole(trade.id)

    def add_refund(self, trade: Trade, refund: NewRefund) -> Trade:
        """Money is to go back."""
        with self._together():
            self._add("refunds", {"trade_id": trade.id, **refund.columns()})
        return self._whole(trade.id)

    def end_refund(self, trade: Trade, refund: Refund, *, state: str, at_ms: int, notice: NewNotice | None) -> Trade:
        """It has gone back, or it can't."""
        assert state in _ENDED, state
        with self._together():
            self._add("refund_ends", {"refund_id": refund.id, "state": state, "at_ms": at_ms})
            self._announce(trade, notice)
        return self._whole(trade.id)

    def announce(self, trade: Trade, notice: NewNotice) -> None:
        """A notice that nothing happened for."""
        with self._together():
            self._announce(trade, notice)

    def add_attempt(self, notice: Notice, attempt: Mapping[str, Any]) -> None:
        """A notice was sent, once or several times at once. `last`: nobody sends it again."""
        with self._together():
            self._add("attempts", {"notice_id": notice.id, **attempt})

    # -- reading

    def find(self, **key: str) -> Trade | None:
        """A trade by what names it: `provider` and `order_no`, `trade_no`, `token`."""
        condition = " AND ".join(f"{name} = ?" for name in key)
        row = self._db.execute(f"SELECT id FROM trades WHERE {condition}", tuple(key.values())).fetchone()
        return self._whole(row["id"]) if row else None

    def find_paid(self, *, payment_no: str) -> Trade | None:
        """A trade by any of its payments: one that was paid twice has two."""
        row = self._db.execute("SELECT trade_id FROM payments WHERE payment_no = ?", (payment_no,)).fetchone()
        return self._whole(row["trade_id"]) if row else None

    def find_refund(self, *, provider: str, refund_no: str) -> tuple[Trade, Refund] | None:
        """A refund by the number that the merchant gave it."""
        row = self._db.execute(
            "SELECT trade_id FROM refunds JOIN trades ON trades.id = trade_id WHERE refund_no = ? AND provider = ?",
            (refund_no, provider),
        ).fetchone()
        if row is None:
            return None
        trade = self._whole(row["trade_id"])
        return trade, next(one for one in trade.refunds if one.refund_no == refund_no)

    def trades(self) -> list[Trade]:
        """All of them."""
        return [self._whole(row["id"]) for row in self._db.execute("SELECT id FROM trades ORDER BY id").fetchall()]

    def newest(self) -> dict[str, int]:
        """The newest numbers of trades and notices."""
        return {
            table: self._db.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0]
            for table in ("trades", "notices")
        }

    def expiring(self, *, after: int = 0) -> list[tuple[int, int]]:
        """The trades that nobody has paid or closed, of those after a number: when each expires, and its number."""
        rows = self._db.execute(
            "SELECT expires_ms, id FROM trades WHERE id > ?"
            " AND NOT EXISTS (SELECT 1 FROM payments WHERE trade_id = trades.id)"
            " AND NOT EXISTS (SELECT 1 FROM marks WHERE trade_id = trades.id AND kind = 'closed')",
            (after,),
        )
        return [(row["expires_ms"], row["id"]) for row in rows]

    def by_id(self, trade_id: int) -> Trade:
        """A trade that is known to be there."""
        return self._whole(trade_id)

    def notices(self, *, waiting: bool = False, after: int = 0) -> list[Notice]:
        """The notices after a number, all or those that are not through yet, with their attempts."""
        through = "AND NOT EXISTS (SELECT 1 FROM attempts WHERE notice_id = n.id AND last = 1)" if waiting else ""
        rows = self._db.execute(
            "SELECT n.*, t.provider, t.order_no FROM notices n JOIN trades t ON t.id = n.trade_id"
            f" WHERE n.id > ? {through} ORDER BY n.id",
            (after,),
        ).fetchall()
        return [self._notice(row) for row in rows]

    def notice(self, notice_id: int) -> Notice | None:
        """One notice with its attempts."""
        row = self._db.execute(
            "SELECT n.*, t.provider, t.order_no FROM notices n JOIN trades t ON t.id = n.trade_id WHERE n.id = ?",
            (notice_id,),
        ).fetchone()
        return self._notice(row) if row else None

    def day(self, provider: str, *, begin_ms: int, end_ms: int) -> Generator[tuple[sqlite3.Row, bool]]:
        """What a bill of these hours has, as it comes: the payments, then the refunds (True) that have gone through."""
        columns = "t.order_no, t.trade_no, t.subject, t.channel, t.amount_fen AS order_fen, t.created_ms"
        yield from (
            (row, False)
            for row in self._db.execute(
                f"SELECT {columns}, p.payment_no, p.amount_fen, p.buyer, p.at_ms FROM payments p"
                " JOIN trades t ON t.id = p.trade_id"
                " WHERE t.provider = ? AND p.at_ms >= ? AND p.at_ms < ? ORDER BY p.at_ms, p.id",
                (provider, begin_ms, end_ms),
            )
        )
        yield from (
            (row, True)
            for row in self._db.execute(
                f"SELECT {columns}, (SELECT payment_no FROM payments WHERE trade_id = t.id ORDER BY id LIMIT 1)"
                " AS payment_no, (SELECT buyer FROM payments WHERE trade_id = t.id ORDER BY id LIMIT 1) AS buyer,"
                " r.refund_no, r.gateway_no, r.amount_fen, e.at_ms FROM refund_ends e"
                " JOIN refunds r ON r.id = e.refund_id JOIN trades t ON t.id = r.trade_id"
                " WHERE t.provider = ? AND e.state = 'SUCCESS' AND e.at_ms >= ? AND e.at_ms < ? ORDER BY e.at_ms, e.id",
                (provider, begin_ms, end_ms),
            )
        )

    # -- inside

    @contextmanager
    def _together(self) -> Generator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _add(self, table: str, values: Mapping[str, Any]) -> int:
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        cursor = self._db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _announce(self, trade: Trade, notice: NewNotice | None) -> None:
        # Who gave no address hears nothing.
        if notice is not None and notice.url:
            values = {"kind": notice.kind, "key": notice.key, "url": notice.url, "at_ms": notice.at_ms}
            self._add("notices", {"trade_id": trade.id, **values, "content": json.dumps(notice.content)})

    def _all(self, query: str, key: int) -> Sequence[sqlite3.Row]:
        return self._db.execute(query, (key,)).fetchall()

    def _whole(self, trade_id: int) -> Trade:
        (row,) = self._all("SELECT * FROM trades WHERE id = ?", trade_id)
        marks = self._all("SELECT kind, at_ms FROM marks WHERE trade_id = ? ORDER BY id DESC", trade_id)
        payments = self._all(
            "SELECT payment_no, amount_fen, buyer, at_ms FROM payments WHERE trade_id = ? ORDER BY id", trade_id
        )
        refunds = self._all(
            "SELECT r.id, refund_no, gateway_no, amount_fen, reason, notify_url, r.at_ms,"
            " coalesce(e.state, 'PROCESSING') AS state, e.at_ms AS ended_ms"
            " FROM refunds r LEFT JOIN refund_ends e ON e.refund_id = r.id WHERE trade_id = ? ORDER BY r.id",
            trade_id,
        )
        return Trade(
            **dict(row),
            marks={mark["kind"]: mark["at_ms"] for mark in marks},
            payments=tuple(Payment(**dict(one)) for one in payments),
            refunds=tuple(Refund(**dict(one)) for one in refunds),
        )

    def _notice(self, row: sqlite3.Row) -> Notice:
        values = dict(row)
        attempts = self._all(
            "SELECT outcome, status, answer, faults, last, at_ms FROM attempts WHERE notice_id = ? ORDER BY id",
            row["id"],
        )
        content = json.loads(values.pop("content"))
        return Notice(**values, content=content, attempts=tuple(dict(one) for one in attempts))


def _schema() -> Iterator[str]:
    for name, columns in _TABLES.items():
        yield f"CREATE TABLE IF NOT EXISTS {name} (id INTEGER PRIMARY KEY, {columns})"
        for verb in ("UPDATE", "DELETE"):
            yield (
                f"CREATE TRIGGER IF NOT EXISTS no_{verb}_{name} BEFORE {verb} ON {name}"
                " BEGIN SELECT RAISE(ABORT, 'books are only added to'); END"
            )
    for number, index in enumerate(_INDEXES):
        yield f"CREATE INDEX IF NOT EXISTS ix_{number} ON {index}"
