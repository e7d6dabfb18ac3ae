"""What clients tell is kept as told, under their own name only, and apart from what the platform records."""

import asyncio
from typing import Any

import pytest

from tests.administration.conftest import Office
from tests.live.harness import Person

LOG = {
    "action": "jimeng_video_generation",
    "details": {"cost": 5, "prompt": "江南"},
    "success": True,
    "timestamp": "2026-01-01T08:00:00+08:00",
}


async def test_a_client_tells_what_it_did(office: Office, someone: Person) -> None:
    for named in (someone.id, f"{someone.id}@EXAMPLE.com"):
        status, answer = await office.ask("POST", "/logs/create", {"userId": named, **LOG}, who=someone)
        assert status == 200
        assert answer["logId"].startswith("log-")
    _, told = await office.ask("GET", f"/api/admin/client-logs?userId={someone.id}")
    assert [one["details"] for one in told["logs"]] == [LOG["details"]] * 2
    assert told["logs"][0]["claimedAt"] == "2026-01-01T00:00:00.000Z"
    _, audit = await office.ask("GET", f"/api/admin/audit?userId={someone.id}")
    assert audit["operations"] == []


async def test_nobody_tells_in_anothers_name(office: Office, someone: Person) -> None:
    other = office.person()
    for named in (other.id, f"{other.id}@example.com", "nobody@example.com"):
        status, problem = await office.ask("POST", "/logs/create", {"userId": named, **LOG}, who=someone)
        assert (status, problem["code"]) == (403, "FORBIDDEN")
    status, _ = await office.ask("POST", "/logs/create", {"userId": someone.id, **LOG}, who=someone, X_User_Id=other.id)
    assert status == 403
    assert (await office.ask("GET", "/api/admin/client-logs"))[1]["logs"] == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"details": {"text": "x" * 17_000}}, "details"),
        ({"details": "text"}, "details"),
        ({"action": "a b"}, "action"),
        ({"action": "x" * 65}, "action"),
        ({"timestamp": 5}, "timestamp"),
        ({"timestamp": "9999-12-31T23:59:59-10:00"}, "timestamp"),
        ({"timestamp": "0001-01-01T00:00:00+10:00"}, "timestamp"),
        ({"success": "yes"}, "success"),
        ({"role": "admin"}, "role"),
    ],
)
async def test_bad_logs_are_refused(office: Office, someone: Person, change: dict[str, Any], field: str) -> None:
    status, problem = await office.ask("POST", "/logs/create", {"userId": someone.id, **LOG, **change}, who=someone)
    assert (status, problem["details"][0]["path"][0]) == (400, field)


async def test_one_key_is_one_log(office: Office, someone: Person) -> None:
    body = {"userId": someone.id, **LOG}
    answers = await asyncio.gather(
        *(office.ask("POST", "/logs/create", body, who=someone, Idempotency_Key="k") for _ in range(5))
    )
    assert len({answer["logId"] for _, answer in answers}) == 1
    assert len((await office.ask("GET", "/api/admin/client-logs"))[1]["logs"]) == 1


async def test_logs_are_read_in_pages(office: Office, someone: Person) -> None:
    for _ in range(3):
        await office.ask("POST", "/logs/create", {"userId": someone.id, **LOG}, who=someone)
    _, first = await office.ask("GET", "/api/admin/client-logs?limit=2")
    _, rest = await office.ask("GET", f"/api/admin/client-logs?limit=2&cursor={first['nextCursor']}")
    assert (len(first["logs"]), len(rest["logs"]), rest["nextCursor"]) == (2, 1, None)
