"""However many orders there are, each question of watching and comparing is answered by an index."""

from typing import Any

import pytest
from sqlalchemy import event, insert, text
from sqlalchemy.orm import Session

from atelier.kernel.ids import new_id
from atelier.orders import statements
from atelier.orders.models import ORDERS, REFUNDS
from atelier.orders.payment_models import CASES, FINDINGS
from atelier.payments import reports
from atelier.payments.reports import Wanted
from tests.reconciliation.books import Shop, back_line, day, noon
from tests.reconciliation.strays import sent_back

CROWD = 3_000
TABLES = ("orders", "refunds", "payment_findings", "payment_cases")


def crowd(session: Session) -> None:
    """Orders of ten days, most of them done with, with refunds and findings."""
    connection = session.connection()
    mine = [{column.name: None for column in ORDERS.c} | _order(number) for number in range(CROWD)]
    connection.execute(insert(ORDERS), mine)
    back = [{column.name: None for column in REFUNDS.c} | _refund(number, mine[number]) for number in range(CROWD)]
    connection.execute(insert(REFUNDS), back)
    connection.execute(insert(FINDINGS), [_finding(number) for number in range(CROWD)])
    connection.execute(insert(CASES), [_case(number) for number in range(CROWD)])
    if connection.dialect.name == "sqlite":
        connection.execute(text("ANALYZE"))
    else:
        for table in TABLES:
            connection.execute(text(f"ANALYZE TABLE {table}")).all()


def _order(number: int) -> dict[str, Any]:
    paid_ms = noon(4 + number % 10)
    return {
        "id": new_id(),
        "order_no": f"N{number:031}",
        "user_id": "nobody",
        "type": "credits_purchase",
        "provider": "alipay",
        "channel": "page",
        "state": "paid",
        "amount_fen": 990,
        "currency": "CNY",
        "credits": 1,
        "package_id": "p",
        "items": [],
        "payment_no": f"P{number}",
        "refunded_fen": 0,
        "refunding_fen": 0,
        "expires_ms": paid_ms,
        "queries": 0,
        "created_ms": paid_ms,
        "paid_ms": paid_ms,
        "bill_day": day(4 + number % 10),
    }


def _refund(number: int, order: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": new_id(),
        "refund_no": f"R{number}",
        "order_id": order["id"],
        "user_id": "nobody",
        "provider": "alipay",
        "state": "succeeded",
        "amount_fen": 1,
        "credits": 0,
        "taken": 0,
        "external": 0,
        "reason": "",
        "tries": 0,
        "created_ms": order["paid_ms"],
        "finished_ms": order["paid_ms"],
        "bill_day": order["bill_day"],
    }


def _finding(number: int) -> dict[str, Any]:
    return {
        "id": new_id(),
        "statement_id": f"s{number % 50}",
        "finding_key": f"missing_here:{number}",
        "kind": "missing_here",
        "order_no": f"N{number}",
        "theirs_fen": 1,
        "outcome": "late",
        "case_id": f"c{number}",
        "created_ms": noon(4),
    }


def _case(number: int) -> dict[str, Any]:
    has_gone = number % 2 == 0
    return {
        "id": f"c{number}",
        "case_key": f"late_payment:alipay:{number}",
        "kind": "late_payment",
        "state": "resolved",
        "provider": "alipay",
        "order_no": f"N{number}",
        "payment_no": f"P{number}",
        "details": {},
        "resolution": "refunded" if has_gone else "credited",
        "refund_no": f"case-c{number}" if has_gone else None,
        "amount_fen": 1,
        "created_ms": noon(4),
        "resolved_ms": noon(4),
        "bill_day": day(4 + number % 10) if has_gone else None,
    }


@pytest.fixture
def crowded(shop: Shop) -> Shop:
    shop.db.transact(crowd)
    shop.db.transact(lambda session: statements.add(session, provider="alipay", new=_days(4), now_ms=1))
    shop.db.transact(lambda session: statements.add(session, provider="wechat", new=_days(4), now_ms=1))
    for _ in range(8):
        shop.sold()
    shop.there.bills[day(3)].pop()
    for _ in range(2):
        shop.there.pay(shop.order())
    sold = shop.sold()
    shop.there.write(back_line(shop.there.trades[sold.order_no], refund_no="R", fen=1, at_ms=noon(3)))
    shop.give_back(sold, fen=2, at_ms=noon(3) - 1)
    for told in (True, False):
        shop.there.write(sent_back(shop, told=told)[1])
    sent_back(shop, at_ms=noon(3) - 1)
    shop.due(shop.order(ago=0))
    shop.due(shop.order(ago=0), expires_ms=1)
    return shop


def _days(ago: int) -> dict[str, str]:
    return {day(number): new_id() for number in range(ago, 20)}


def test_an_index_serves_every_question(crowded: Shop) -> None:
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if any(table in statement for table in TABLES) and not statement.startswith("INSERT"):
            asked.append((statement, parameters))

    for engine in (crowded.db.writer, crowded.db.reader):
        event.listen(engine, "before_cursor_execute", note)
    crowded.watch()
    crowded.compare(batch=5)
    crowded.db.read(statements.standing)
    found, _ = crowded.db.read(reports.page, wanted=Wanted(provider="alipay"), offset=0, limit=50)
    (today,) = [one for one in found if one.statement.day == day(3)]
    assert {"missing_here", "missing_in_bill", "refund_missing_here", "refund_missing_in_bill"} <= today.found.keys()
    for kind in (None, "missing_here"):
        crowded.db.read(reports.findings, statement_id=today.statement.id, kind=kind, after=None, limit=50)
    for engine in (crowded.db.writer, crowded.db.reader):
        event.remove(engine, "before_cursor_execute", note)
    assert len({statement for statement, _ in asked}) > 20
    scanned = [statement for statement, given in asked if crowded.db.transact(_scans, statement, given)]
    assert scanned == []


def _scans(session: Session, statement: str, parameters: Any) -> bool:
    connection = session.connection()
    is_sqlite = connection.dialect.name == "sqlite"
    explain = "EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN "
    plan = [dict(row) for row in connection.exec_driver_sql(explain + statement, parameters).mappings()]
    if is_sqlite:
        return any(row["detail"].startswith(tuple(f"SCAN {table}" for table in TABLES)) for row in plan)
    return any(row["table"] in TABLES and row["type"] in {"ALL", "index"} for row in plan)
