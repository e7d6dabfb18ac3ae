"""The figures over HTTP: equal to what the ledger says, in steps of the operator's days, as JSON and CSV."""

import csv
import io

import pytest

from tests.administration.conftest import Office
from tests.live.harness import Person
from tests.payments.desk import Desk

PATH = "/api/admin/analytics"


async def test_the_total_is_the_ledgers(office: Office, someone: Person) -> None:
    await office.ask("POST", f"/api/admin/users/{someone.id}/credits", {"amount": 50, "reason": "补偿"})
    await office.ask("POST", f"/api/admin/users/{someone.id}/credits", {"amount": -20, "reason": "收回"})
    await office.ask("POST", "/credits/consume", {"amount": 9, "action": "video"}, who=someone)
    status, found = await office.ask("GET", PATH)
    assert status == 200
    expected = {"spent": 9, "held": 0, "released": 0, "granted": 50, "taken": 20, "toppedUp": 100, "earned": 0}
    assert found["total"]["credits"] == {**expected, "platform": 0, "takenBack": 0}
    assert found["points"][-1]["credits"] == found["total"]["credits"]
    assert (len(found["points"]), found["granularity"], found["utcOffsetHours"]) == (30, "day", 8)
    assert found["total"]["signUps"] == 2
    assert found["points"][-1]["at"].endswith("T16:00:00.000Z")


@pytest.mark.parametrize(("granularity", "steps"), [("hour", 24), ("day", 1), ("week", 1), ("month", 1)])
async def test_steps_cover_the_whole_time(office: Office, granularity: str, steps: int) -> None:
    span = "from=2026-01-15T16:00:00Z&to=2026-01-16T16:00:00Z"
    _, found = await office.ask("GET", f"{PATH}?{span}&granularity={granularity}")
    assert len(found["points"]) == steps
    assert found["from"] <= "2026-01-15T16:00:00.000Z"
    assert found["to"] >= "2026-01-16T16:00:00.000Z"


@pytest.mark.parametrize("granularity", ["hour", "day", "week", "month"])
async def test_no_time_is_too_far_away(office: Office, granularity: str) -> None:
    for end in ("1000-01-01T00:00:01Z", "9998-12-31T23:59:59Z"):
        status, found = await office.ask("GET", f"{PATH}?to={end}&granularity={granularity}")
        assert (status, len(found["points"]) >= 29) == (200, True)
    for beyond in ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59-12:00", "0001-01-05T00:00:00Z"):
        status, problem = await office.ask("GET", f"{PATH}?to={beyond}&granularity={granularity}")
        assert (status, problem["details"][0]["path"]) == (400, ["to"])


async def test_only_what_is_wanted(office: Office) -> None:
    _, found = await office.ask("GET", f"{PATH}?metrics=signUps,wait")
    shown = {name for name, value in found["total"].items() if value is not None}
    assert shown == {"at", "signUps", "wait"}


async def test_a_table_for_spreadsheets(office: Office, someone: Person) -> None:
    await office.ask("POST", "/credits/consume", {"amount": 9, "action": "video"}, who=someone)
    headers = {**office.admin.headers, "Accept": "text/csv"}
    async with office.served.client.get(PATH, headers=headers) as answer:
        assert answer.content_type == "text/csv"
        rows = list(csv.DictReader(io.StringIO((await answer.text()).lstrip("\ufeff"))))
    assert len(rows) == 30
    assert rows[-1]["credits.spent"] == "9"
    assert [rows[-1][f"sales.{name}"] for name in ("orders", "revenueFen", "conversion")] == ["0", "0", ""]
    assert rows[-1]["wait.p50"] == ""


async def test_sales_are_those_of_orders(office: Office) -> None:
    desk = Desk(office.world.db)
    desk.back(desk.order(desk.user(), fen=990, gives=100), 495)
    desk.order(desk.user(), fen=500, gives=50, provider="wechat")
    desk.order(desk.user(), paid=False)
    _, found = await office.ask("GET", f"{PATH}?metrics=sales")
    sales = found["total"]["sales"]
    assert (sales["orders"], sales["converted"], sales["conversion"]) == (3, 2, 0.6667)
    assert (sales["paid"], sales["revenueFen"], sales["refunds"], sales["refundedFen"]) == (2, 1_490, 1, 495)
    assert (sales["creditsSold"], sales["creditsTakenBack"]) == (150, 50)
    assert sales["gateways"]["wechat"] == {"paid": 1, "revenueFen": 500, "refunds": 0, "refundedFen": 0}
    headers = {**office.admin.headers, "Accept": "text/csv"}
    async with office.served.client.get(f"{PATH}?metrics=sales", headers=headers) as answer:
        *_, last = csv.DictReader(io.StringIO((await answer.text()).lstrip("\ufeff")))
    assert (last["sales.revenueFen"], last["sales.gateways.alipay.refundedFen"], last["sales.conversion"]) == (
        *("1490", "495", "0.6667"),
    )


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("granularity=year", "granularity"),
        ("metrics=passwords", "metrics"),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from"),
        ("from=2020-01-01T00:00:00Z&granularity=hour", "from"),
        ("from=yesterday", "from"),
    ],
)
async def test_bad_questions(office: Office, query: str, field: str) -> None:
    status, problem = await office.ask("GET", f"{PATH}?{query}")
    assert (status, problem["details"][0]["path"]) == (400, [field])


async def test_it_is_for_administrators(office: Office, someone: Person) -> None:
    assert (await office.ask("GET", PATH, who=someone))[0] == 403
