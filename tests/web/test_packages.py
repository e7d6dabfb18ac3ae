"""Packages of credits as administrators sell them."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientResponse
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from atelier.accounts.models import User
from atelier.contracts import oplog
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from atelier.orders import seeding
from tests.live.harness import Person, Served, World, serving
from tests.payments.booth import Booth

SPRING = {"nameZh": "春节套餐", "nameEn": "Spring", "priceFen": 8_880, "credits": 1_100, "position": 5}
OFFERED = {
    *("id", "version", "nameZh", "nameEn", "price", "priceFen", "credits", "position", "active", "createdAt"),
    "updatedAt",
}
ADMIN = "/api/admin/packages"
PURCHASE = "/api/payments/credits/purchase"


@dataclass(frozen=True)
class Office:
    """A web role with an administrator."""

    served: Served
    world: World
    boss: Person

    async def answer(self, method: str, path: str, body: Any = None, *, who: Person, key: str = "") -> ClientResponse:
        """Ask."""
        headers = {**who.headers, **({"Idempotency-Key": key} if key else {})}
        return await self.served.client.request(method, path, json=body, headers=headers)

    async def ask(self, method: str, path: str, body: Any = None, *, key: str = "") -> tuple[int, Any]:
        """Ask as the administrator."""
        answer = await self.answer(method, path, body, who=self.boss, key=key)
        return answer.status, await answer.json()

    async def sold(self) -> list[Any]:
        """What everybody sees."""
        async with self.served.client.get("/api/payments/credits/packages") as answer:
            listed: dict[str, list[Any]] = await answer.json()
            return listed["packages"]

    def log(self) -> list[tuple[str, str, Any]]:
        """What was done: who is always the administrator."""
        return self.world.db.read(_logged, admin_id=self.boss.id)


def _logged(session: Session, *, admin_id: str) -> list[tuple[str, str, Any]]:
    columns = oplog.TABLE.c
    found = select(columns.action, columns.resource_id, columns.details).where(columns.user_id == admin_id)
    return [(row.action, row.resource_id, row.details) for row in session.execute(found.order_by(columns.id))]


def _promote(session: Session, *, user_id: str) -> None:
    session.execute(update(User).where(User.id == user_id).values(role="admin"))


@pytest_asyncio.fixture
async def office(db: Database, settings: Callable[..., Settings]) -> AsyncIterator[Office]:
    """With the packages of a fresh installation."""
    chosen = settings(web_relay=False)
    world = World(db, chosen)
    boss = world.person()
    db.transact(_promote, user_id=boss.id)
    db.transact(seeding.seed, now_ms=now_ms())
    async with serving(chosen, gateways={"alipay": Booth()}) as served:
        yield Office(served, world, boss)


async def test_a_package_is_added_changed_and_retired(office: Office) -> None:
    status, made = await office.ask("POST", ADMIN, {**SPRING, "reason": "春节活动"}, key="k")
    assert (status, made.keys()) == (201, OFFERED)
    assert made == {**SPRING, "id": made["id"], "version": 1, "price": 88.8, "active": True} | {
        name: made[name] for name in ("createdAt", "updatedAt")
    }
    again = await office.answer("POST", ADMIN, {**SPRING, "reason": "春节活动"}, who=office.boss, key="k")
    assert (again.status, again.headers["Idempotency-Replayed"], await again.json()) == (201, "true", made)
    shown = {"id": made["id"], "name": "春节套餐", "price": 88.8, "priceFen": 8_880, "credits": 1_100, "version": 1}
    assert (await office.sold())[0] == shown

    buyer = office.world.person()
    body = {"packageId": made["id"], "paymentMethod": "alipay"}
    ordered = await (await office.answer("POST", PURCHASE, body, who=buyer)).json()
    path = f"{ADMIN}/{made['id']}"
    status, renamed = await office.ask("PUT", path, {**SPRING, "nameZh": "新春套餐", "reason": "更名"})
    assert (status, renamed["version"]) == (200, 1)
    status, changed = await office.ask("PUT", path, {**SPRING, "credits": 1_200, "reason": "加量"})
    assert (status, changed["version"], changed["credits"]) == (200, 2, 1_200)
    status, same = await office.ask("PUT", path, {**SPRING, "credits": 1_200, "reason": "再点一次"})
    assert (status, same) == (200, changed)
    answer = await office.answer("GET", f"/api/payments/orders/{ordered['orderId']}", who=buyer)
    order = await answer.json()
    assert (order["creditsAmount"], order["items"]) == (1_100, [shown])

    assert await office.ask("POST", f"{path}/retire", {"reason": "活动结束"}) == (200, {"success": True})
    assert made["id"] not in {one["id"] for one in await office.sold()}
    _, listed = await office.ask("GET", ADMIN)
    assert [one["active"] for one in listed["packages"]] == [False, True, True, True, True]
    for method, where, asked in (("PUT", path, SPRING), ("POST", f"{path}/retire", {})):
        status, problem = await office.ask(method, where, {**asked, "reason": "x"})
        assert (status, problem["code"], problem["error"]) == (404, "PACKAGE_NOT_FOUND", "套餐不存在")
    refused = await office.answer("POST", PURCHASE, body, who=buyer)
    assert (refused.status, (await refused.json())["code"]) == (404, "PACKAGE_NOT_FOUND")

    terms = {"name_zh": "春节套餐", "name_en": "Spring", "price_fen": 8_880, "credits": 1_100, "position": 5}
    renaming, raising = {**terms, "name_zh": "新春套餐"}, {**terms, "credits": 1_200}
    assert office.log() == [
        ("ADMIN_PACKAGE_CREATE", made["id"], {**terms, "reason": "春节活动"}),
        ("ADMIN_PACKAGE_UPDATE", made["id"], {"from": terms, "to": renaming, "version": 1, "reason": "更名"}),
        ("ADMIN_PACKAGE_UPDATE", made["id"], {"from": renaming, "to": raising, "version": 2, "reason": "加量"}),
        ("ADMIN_PACKAGE_RETIRE", made["id"], {"reason": "活动结束"}),
    ]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_what_is_no_package_is_not_sold(office: Office) -> None:
    for wrong in (
        {"priceFen": 0},
        {"priceFen": 9.9},
        {"priceFen": "990"},
        {"credits": 0},
        {"credits": 10**9},
        {"nameZh": " "},
        {"nameEn": "a\u202eb"},
        {"reason": ""},
        {"version": 7},
    ):
        status, problem = await office.ask("POST", ADMIN, {**SPRING, "reason": "x", **wrong})
        assert (status, problem["code"]) == (400, "VALIDATION_FAILED"), wrong
    status, problem = await office.ask("PUT", f"{ADMIN}/{new_id()}", {**SPRING, "reason": "x"})
    assert (status, problem["code"]) == (404, "PACKAGE_NOT_FOUND")
    answer = await office.answer("GET", ADMIN, who=office.world.person())
    assert answer.status == 403
    assert (len(await office.sold()), office.log()) == (4, [])
