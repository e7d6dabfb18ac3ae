"""Administrators look after users: search, roles, access, credits; every change leaves its reason behind."""

import asyncio

import pytest

from atelier.generation import doctor
from atelier.kernel.clock import now_ms
from tests.administration.conftest import Office
from tests.live.harness import Person, healthy, socket
from web.live.feed import Close

REASON = {"reason": "违反社区规范"}


async def test_users_are_found_by_the_beginning_of_their_names(office: Office, someone: Person) -> None:
    status, mine = await office.ask("GET", f"/api/admin/users/{someone.id}")
    assert status == 200
    assert mine["credits"] == {"balance": 100, "held": 0, "available": 100, "spent": 0, "debt": 0}
    for beginning in (mine["username"][:12], mine["email"].upper(), someone.id):
        _, found = await office.ask("GET", f"/api/admin/users?search={beginning}")
        assert someone.id in [one["id"] for one in found["users"]]
    for nobody in ("%25", "梅", "_"):
        _, none = await office.ask("GET", f"/api/admin/users?search={nobody}")
        assert (none["users"], none["pagination"]["total"]) == ([], 0)
    _, admins = await office.ask("GET", "/api/admin/users?role=admin&status=active")
    assert [one["id"] for one in admins["users"]] == [office.admin.id]
    assert "passwordHash" not in admins["users"][0]


async def test_a_list_of_many_has_pages(office: Office) -> None:
    for _ in range(4):
        office.person()
    _, first = await office.ask("GET", "/api/admin/users?limit=3")
    _, second = await office.ask("GET", "/api/admin/users?limit=3&page=2")
    assert first["pagination"] == {"page": 1, "limit": 3, "total": 5, "pages": 2}
    assert len({one["id"] for one in first["users"] + second["users"]}) == 5


async def test_disabling_ends_tokens_and_sockets_at_once(office: Office, someone: Person) -> None:
    async with socket(office.served, someone) as listener:
        status, person = await office.ask("POST", f"/api/admin/users/{someone.id}/disable", REASON)
        assert (status, person["status"]) == (200, "disabled")
        assert (await office.ask("GET", "/api/payments/credits/balance", who=someone))[0] == 401
        assert await listener.closed() == Close.UNAUTHORIZED
    _, person = await office.ask("POST", f"/api/admin/users/{someone.id}/enable", REASON)
    assert person["status"] == "active"
    # The old token stays dead: who was locked out signs in again.
    assert (await office.ask("GET", "/api/payments/credits/balance", who=someone))[0] == 401


async def test_a_role_counts_from_the_next_request_on(office: Office, someone: Person) -> None:
    assert (await office.ask("GET", "/api/admin/users", who=someone))[0] == 403
    body = {"role": "admin", **REASON}
    assert (await office.ask("POST", f"/api/admin/users/{someone.id}/role", body))[0] == 200
    assert (await office.ask("GET", "/api/admin/users", who=someone))[0] == 200
    demoted = {"role": "user", **REASON}
    path = f"/api/admin/users/{office.admin.id}/role"
    assert (await office.ask("POST", path, demoted, who=someone))[0] == 200
    assert (await office.ask("GET", "/api/admin/users"))[0] == 403


@pytest.mark.parametrize(("path", "body"), [("disable", {}), ("role", {"role": "user"})])
async def test_nobody_locks_themselves_out(office: Office, path: str, body: dict[str, str]) -> None:
    status, problem = await office.ask("POST", f"/api/admin/users/{office.admin.id}/{path}", {**body, **REASON})
    assert (status, problem["code"]) == (409, "OWN_ACCOUNT")
    assert (await office.ask("GET", "/api/admin/users"))[0] == 200


async def test_credits_are_given_and_taken_with_a_reason(office: Office, someone: Person) -> None:
    path = f"/api/admin/users/{someone.id}/credits"
    status, given = await office.ask("POST", path, {"amount": 50, "reason": "补偿"})
    assert (status, given["balance"]) == (200, 150)
    assert (await office.ask("POST", path, {"amount": -150, "reason": "收回"}))[1]["balance"] == 0
    status, problem = await office.ask("POST", path, {"amount": -1, "reason": "收回"})
    assert (status, problem["code"], problem["balance"], problem["required"]) == (400, "INSUFFICIENT_CREDITS", 0, 1)
    _, history = await office.ask("GET", "/api/payments/credits/history", who=someone)
    assert [(one["type"], one["amount"], one["description"]) for one in history["transactions"]][:2] == [
        ("adjust", -150, "人工调整: 收回"),
        ("adjust", 50, "人工调整: 补偿"),
    ]
    assert office.world.db.snapshot(doctor.examine, now_ms=now_ms()).clean


async def test_one_key_adjusts_once(office: Office, someone: Person) -> None:
    path, body = f"/api/admin/users/{someone.id}/credits", {"amount": 7, "reason": "补偿"}
    answers = await asyncio.gather(*(office.ask("POST", path, body, Idempotency_Key="k") for _ in range(5)))
    assert len({answer["transactionId"] for _, answer in answers}) == 1
    _, balance = await office.ask("GET", "/api/payments/credits/balance", who=someone)
    assert balance["balance"] == 107
    _, log = await office.ask("GET", "/api/admin/audit?action=ADMIN_CREDITS_ADJUST")
    assert len(log["operations"]) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"amount": 0, "reason": "x"}, "amount"),
        ({"amount": 1.5, "reason": "x"}, "amount"),
        ({"amount": 1}, "reason"),
        ({"amount": 1, "reason": " "}, "reason"),
        ({"amount": 1, "reason": "x", "balance": 9}, "balance"),
    ],
)
async def test_bad_adjustments_change_nothing(
    office: Office, someone: Person, body: dict[str, object], field: str
) -> None:
    status, problem = await office.ask("POST", f"/api/admin/users/{someone.id}/credits", body)
    assert (status, problem["details"][0]["path"]) == (400, [field])
    _, balance = await office.ask("GET", "/api/payments/credits/balance", who=someone)
    assert balance["balance"] == 100


async def test_every_change_is_in_the_audit_log(office: Office, someone: Person) -> None:
    user = f"/api/admin/users/{someone.id}"
    for path, body in (("disable", {}), ("enable", {}), ("role", {"role": "creator"}), ("credits", {"amount": 5})):
        assert (await office.ask("POST", f"{user}/{path}", {**body, **REASON}))[0] == 200
    _, log = await office.ask("GET", f"/api/admin/audit?resourceId={someone.id}&action=ADMIN_")
    found = [(one["action"], one["userId"], one["details"]["reason"]) for one in log["operations"]]
    actions = ["ADMIN_CREDITS_ADJUST", "ADMIN_USER_ROLE", "ADMIN_USER_ENABLE", "ADMIN_USER_DISABLE"]
    assert found == [(action, office.admin.id, REASON["reason"]) for action in actions]
    assert log["operations"][1]["details"] == {"from": "user", "to": "creator", **REASON}


async def test_the_log_is_read_in_pages(office: Office, someone: Person) -> None:
    for amount in range(1, 6):
        body = {"amount": amount, "reason": "x"}
        await office.ask("POST", f"/api/admin/users/{someone.id}/credits", body)
    amounts: list[int] = []
    cursor = ""
    while True:
        _, log = await office.ask("GET", f"/api/admin/audit?action=ADMIN_CREDITS_ADJUST&limit=2{cursor}")
        amounts += [one["details"]["amount"] for one in log["operations"]]
        if log["nextCursor"] is None:
            break
        cursor = f"&cursor={log['nextCursor']}"
    assert amounts == [5, 4, 3, 2, 1]


async def test_the_user_is_told_live(office: Office, someone: Person) -> None:
    await healthy(office.served)
    async with socket(office.served, someone) as listener:
        await listener.say(type="subscribe", all=True)
        # Who begins to listen is told the balance first.
        assert (await listener.until("credits.changed"))[-1]["data"]["available"] == 100
        await office.ask("POST", f"/api/admin/users/{someone.id}/credits", {"amount": 5, "reason": "补偿"})
        assert (await listener.until("credits.changed"))[-1]["data"]["available"] == 105
