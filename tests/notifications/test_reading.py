"""The list of notifications over HTTP, on both databases."""

from typing import Any

import pytest

from atelier.kernel.ids import new_id
from atelier.notifications.kinds import KINDS
from tests.notifications.town import SAMPLES, Served

NOTIFICATION = {
    *("id", "kind", "category", "title", "message", "data", "refType", "refId", "read", "readAt", "createdAt"),
}


def ids(listed: Any) -> list[str]:
    return [one["id"] for one in listed["notifications"]]


async def test_the_newest_come_first_in_the_readers_language(served: Served) -> None:
    mei, agent_id = served.town.person(), new_id()
    told = [served.town.told(mei, kind, ref_type="agent", ref_id=agent_id) for kind in sorted(KINDS)]
    listed = await served.listed(mei)
    assert listed.keys() == {"notifications", "unreadCount", "nextCursor", "pagination"}
    assert ids(listed) == told[::-1]
    assert (listed["unreadCount"], listed["nextCursor"]) == (len(KINDS), None)
    assert all(one.keys() == NOTIFICATION for one in listed["notifications"])
    sold = next(one for one in listed["notifications"] if one["kind"] == "agent_sold")
    assert (sold["category"], sold["data"], sold["read"], sold["readAt"]) == (
        "sales",
        SAMPLES["agent_sold"],
        False,
        None,
    )
    assert (sold["refType"], sold["refId"]) == ("agent", agent_id)
    assert sold["message"] == "您的 Agent「海报」被购买，您获得 80 积分。"
    served.town.set(mei, settings={"locale": "en"})
    for language, expected in ({}, "en"), ({"Accept_Language": "zh-CN"}, "zh"), ({"Accept_Language": "en-GB"}, "en"):
        listed = await served.listed(mei, **language)
        assert listed["notifications"][0]["title"] == getattr(KINDS[max(KINDS)].title, expected)


async def test_pages_and_cursors_show_everything_once(served: Served) -> None:
    mei, li = served.town.person(), served.town.person()
    told: list[str] = []
    for _ in range(7):
        told.insert(0, served.town.tell(mei))
        served.town.tell(li)
    first = await served.listed(mei, "?limit=3")
    assert (ids(first), first["pagination"]) == (told[:3], {"page": 1, "limit": 3, "total": 7, "pages": 3})
    assert ids(await served.listed(mei, "?limit=3&page=3")) == told[6:]
    # What comes meanwhile moves pages, but no cursor.
    served.town.tell(mei)
    second = await served.listed(mei, f"?limit=3&cursor={first['nextCursor']}")
    assert (ids(second), second["pagination"]["total"]) == (told[3:6], 4)
    third = await served.listed(mei, f"?limit=3&cursor={second['nextCursor']}")
    assert (ids(third), third["nextCursor"]) == (told[6:], None)
    assert ids(await served.listed(mei, f"?cursor={told[-1]}")) == []


async def test_a_limit_above_the_highest_means_the_highest(served: Served) -> None:
    mei = served.town.person()
    for _ in range(51):
        served.town.tell(mei)
    listed = await served.listed(mei, "?limit=1000")
    assert (len(listed["notifications"]), listed["pagination"]["limit"]) == (50, 50)
    assert listed["nextCursor"] == listed["notifications"][-1]["id"]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("query", ["limit=0", "limit=x", "page=0", "cursor=5", "unread=1", "sort=id", "userId=x"])
async def test_a_bad_question_is_refused(served: Served, query: str) -> None:
    got = await served.ask("GET", f"/api/notifications?{query}", who=served.town.person())
    assert (got.status, got.code) == (400, "VALIDATION_FAILED")


async def test_reading_one_and_all(served: Served) -> None:
    mei = served.town.person()
    first, second, third = (served.town.told(mei) for _ in range(3))
    for _ in range(2):
        got = await served.ask("POST", f"/api/notifications/{second}/read", who=mei)
        assert (got.status, got.body) == (200, {"success": True})
    listed = await served.listed(mei)
    assert (listed["unreadCount"], [one["read"] for one in listed["notifications"]]) == (2, [False, True, False])
    read_at = listed["notifications"][1]["readAt"]
    unread = await served.listed(mei, "?unread=true&limit=1")
    assert (ids(unread), unread["unreadCount"], unread["pagination"]["total"]) == ([third], 2, 2)
    got = await served.ask("POST", "/api/notifications/read-all", who=mei)
    assert got.body == {"success": True, "count": 2}
    assert (await served.ask("POST", "/api/notifications/read-all", who=mei)).body["count"] == 0
    listed = await served.listed(mei)
    assert (listed["unreadCount"], listed["notifications"][1]["readAt"]) == (0, read_at)
    assert ids(await served.listed(mei, "?unread=true")) == []
    assert ids(listed) == [third, second, first]


async def test_deleting_one(served: Served) -> None:
    mei = served.town.person()
    kept, gone = served.town.told(mei), served.town.told(mei)
    assert (await served.ask("DELETE", f"/api/notifications/{gone}", who=mei)).body == {"success": True}
    assert (await served.ask("DELETE", f"/api/notifications/{gone}", who=mei)).status == 404
    assert ids(await served.listed(mei)) == [kept]


async def test_someone_elses_are_not_there(served: Served) -> None:
    mei, li = served.town.person(), served.town.person()
    told = served.town.told(mei)
    for one in (told, new_id(), "x"):
        for method, path in (("POST", f"{one}/read"), ("DELETE", one)):
            got = await served.ask(method, f"/api/notifications/{path}", who=li)
            assert (got.status, got.code) == (404, "NOT_FOUND")
    await served.ask("POST", "/api/notifications/read-all", who=li)
    listed = await served.listed(mei)
    assert (ids(listed), listed["unreadCount"]) == ([told], 1)
    assert ids(await served.listed(li, f"?cursor={new_id()}")) == []


async def test_nobody_reads_without_a_session(served: Served) -> None:
    told = served.town.told(served.town.person())
    for method, path in (("GET", ""), ("POST", "/read-all"), ("POST", f"/{told}/read"), ("DELETE", f"/{told}")):
        assert (await served.ask(method, f"/api/notifications{path}")).status == 401
