"""The report of the nightly comparison: days, differences, tables of them, and comparing a day anew."""

import csv
import io
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from atelier.contracts import oplog
from atelier.kernel.clock import now_ms
from atelier.kernel.ids import new_id
from atelier.orders import cases, days, statements
from atelier.orders.cases import NewCase
from atelier.orders.payment_models import FINDINGS, STATEMENTS
from tests.administration.conftest import Office
from web.handlers import admin_statements

PATH = "/api/admin/payments/statements"
TODAY = days.day_of(now_ms())
Row = dict[str, Any]


def day(ago: int) -> str:
    return days.shifted(TODAY, -ago)


def write(session: Session, *, days_ago: Sequence[int], provider: str) -> None:
    statements.add(session, provider=provider, new={day(ago): f"{provider}-{ago}" for ago in days_ago}, now_ms=1)


def finding(number: int, *, statement_id: str, **values: Any) -> Row:
    return {
        "id": new_id(),
        "statement_id": statement_id,
        "finding_key": f"missing_here:P{number:05}:N",
        "kind": "missing_here",
        "order_no": f"N{number}",
        "payment_no": f"P{number}",
        "theirs_fen": 990,
        "ours_fen": None,
        "outcome": "credited",
        "case_id": None,
        "created_ms": 1_700_000_000_000,
        **values,
    }


def find(session: Session, rows: list[Row]) -> None:
    session.connection().execute(insert(FINDINGS), rows)


@pytest.fixture
def statement_id(office: Office) -> str:
    """A day that was compared, the second of three."""
    made = {day(ago): new_id() for ago in (1, 2, 3)}
    db = office.world.db
    db.transact(statements.add, provider="alipay", new=made, now_ms=1)
    db.transact(statements.add, provider="wechat", new={day(2): new_id()}, now_ms=1)
    held = db.transact(statements.claim, providers=["alipay"], lease_ms=1_000)
    assert held is not None
    assert held.day == day(3)
    theirs = {"lines": 9, "payments": 8, "payments_fen": 7_920, "refunds": 1, "refunds_fen": 90, "digest": 5}
    ours = {"payments": 7, "payments_fen": 6_930, "refunds": 1, "refunds_fen": 90}
    db.transact(statements.finish, held, totals={"theirs": theirs, "ours": ours}, error=None)
    return held.id


async def table(office: Office, path: str) -> list[list[str]]:
    headers = {**office.admin.headers, "Accept": "text/csv"}
    async with office.served.client.get(path, headers=headers) as answer:
        assert (answer.status, answer.content_type) == (200, "text/csv")
        assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
        assert answer.headers["Cache-Control"] == "no-store"
        text = (await answer.read()).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text)))


async def test_days_are_listed_newest_first_and_filtered(office: Office, statement_id: str) -> None:
    _, answer = await office.ask("GET", PATH)
    listed = [(one["provider"], one["day"], one["status"]) for one in answer["statements"]]
    assert listed == [
        ("alipay", day(1), "waiting"),
        ("alipay", day(2), "waiting"),
        ("wechat", day(2), "waiting"),
        ("alipay", day(3), "done"),
    ]
    assert answer["pagination"]["total"] == 4
    for query, expected in {
        "provider=wechat": [day(2)],
        "status=done": [day(3)],
        f"from={day(2)}&provider=alipay": [day(1), day(2)],
        f"to={day(2)}&provider=alipay": [day(2), day(3)],
        "limit=1&page=4": [day(3)],
    }.items():
        _, answer = await office.ask("GET", f"{PATH}?{query}")
        assert [one["day"] for one in answer["statements"]] == expected, query
    rows = await table(office, f"{PATH}?provider=alipay")
    assert rows[0] == list(admin_statements.DAY_COLUMNS)
    assert [row[:4] for row in rows[1:]] == [
        ["alipay", day(1), "waiting", "0"],
        ["alipay", day(2), "waiting", "0"],
        ["alipay", day(3), "done", "9"],
    ]
    assert rows[3][4:14] == ["8", "7920", "1", "90", "7", "6930", "1", "90", "0", "0"]
    assert statement_id


async def test_a_day_shows_what_both_books_say_and_how_they_differ(office: Office, statement_id: str) -> None:
    new = NewCase(id=new_id(), kind="missing_in_bill", key="k", provider="alipay", order_no="N")
    office.world.db.transact(cases.open_once, new, now_ms=1)
    missing = {"kind": "missing_in_bill", "finding_key": "missing_in_bill:P", "theirs_fen": None, "ours_fen": 500}
    rows = [
        finding(1, statement_id=statement_id),
        finding(2, statement_id=statement_id, case_id=new.id, outcome="missing_in_bill", **missing),
        finding(3, statement_id=new_id()),
    ]
    office.world.db.transact(find, rows)
    status, answer = await office.ask("GET", f"{PATH}/{statement_id}")
    assert status == 200
    shown = answer["statement"]
    assert (shown["lines"], shown["errorCode"], shown["tries"], shown["dueAt"]) == (9, None, 0, None)
    assert shown["theirs"] == {"payments": 8, "paymentsFen": 7_920, "refunds": 1, "refundsFen": 90}
    assert shown["ours"] == {"payments": 7, "paymentsFen": 6_930, "refunds": 1, "refundsFen": 90}
    assert shown["differences"] == [
        {"kind": "missing_here", "count": 1, "theirsFen": 990, "oursFen": 0, "open": 0},
        {"kind": "missing_in_bill", "count": 1, "theirsFen": 0, "oursFen": 500, "open": 1},
    ]
    assert [(one["kind"], one["caseId"], one["caseStatus"]) for one in answer["findings"]] == [
        ("missing_here", None, None),
        ("missing_in_bill", new.id, "open"),
    ]
    assert answer["nextCursor"] is None
    _, answer = await office.ask("GET", f"{PATH}/{statement_id}?kind=missing_in_bill")
    assert [one["oursFen"] for one in answer["findings"]] == [500]


async def test_differences_are_read_page_by_page_and_as_a_table_of_any_length(
    office: Office, statement_id: str
) -> None:
    number = 2 * admin_statements.ROWS + 7
    rows = [finding(one, statement_id=statement_id) for one in range(number)]
    rows[0] |= {"order_no": "=1+1", "payment_no": "@SUM(A1)"}
    office.world.db.transact(find, rows)
    seen: list[str] = []
    cursor = ""
    while len(seen) < 120:
        _, answer = await office.ask("GET", f"{PATH}/{statement_id}?limit=50{cursor}")
        seen += [one["orderNo"] for one in answer["findings"]]
        cursor = f"&cursor={answer['nextCursor']}"
    assert seen == [row["order_no"] for row in rows[:150]]
    found = await table(office, f"{PATH}/{statement_id}")
    assert found[0] == list(admin_statements.FINDING_COLUMNS)
    assert [row[4] for row in found[2:]] == [row["payment_no"] for row in rows[1:]]
    assert found[1] == [
        *("alipay", day(3), "missing_here", "'=1+1", "'@SUM(A1)", "990", "", "credited", "", ""),
        "2023-11-14T22:13:20.000Z",
    ]
    async with office.served.client.head(
        f"{PATH}/{statement_id}", headers={**office.admin.headers, "Accept": "text/csv"}
    ) as answer:
        assert (answer.status, await answer.read()) == (200, b"")


async def test_a_day_is_compared_anew_and_who_wanted_it_is_known(office: Office, statement_id: str) -> None:
    status, answer = await office.ask("POST", f"{PATH}/{statement_id}/rerun", {"reason": "账单更正"})
    assert (status, answer["status"], answer["lines"], answer["finishedAt"]) == (200, "waiting", 0, None)
    assert answer["dueAt"] is not None
    logged = office.world.db.read(_logged)
    assert [(one["user_id"], one["resource_id"], one["details"]["reason"]) for one in logged] == [
        (office.admin.id, statement_id, "账单更正")
    ]
    held = office.world.db.transact(statements.claim, providers=["alipay"], lease_ms=1_000)
    assert held is not None


async def test_what_is_not_there_or_can_be_had_no_more(office: Office, statement_id: str) -> None:
    for method, path, body in (
        ("GET", f"{PATH}/{new_id()}", None),
        ("POST", f"{PATH}/{new_id()}/rerun", {"reason": "x"}),
    ):
        status, answer = await office.ask(method, path, body)
        assert (status, answer["code"]) == (404, "NOT_FOUND")
    status, answer = await office.ask("GET", f"{PATH}/{new_id()}", Accept="text/csv")
    assert (status, answer["code"]) == (404, "NOT_FOUND")
    office.world.db.transact(_long_ago, statement_id=statement_id)
    status, answer = await office.ask("POST", f"{PATH}/{statement_id}/rerun", {"reason": "x"})
    assert (status, answer["code"], answer["message"]) == (409, "STATEMENT_TOO_OLD", "支付机构已不再提供该日账单")
    status, _ = await office.ask("GET", PATH, who=office.person())
    assert status == 403


def _logged(session: Session) -> list[Row]:
    rows = select(oplog.TABLE).where(oplog.TABLE.c.action == "ADMIN_STATEMENT_RERUN")
    return [dict(row) for row in session.connection().execute(rows).mappings()]


def _long_ago(session: Session, *, statement_id: str) -> None:
    moved = STATEMENTS.update().where(STATEMENTS.c.id == statement_id).values(day=day(400))
    session.connection().execute(moved)
