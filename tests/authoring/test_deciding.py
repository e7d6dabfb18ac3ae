"""Administrators see what would change and decide once; the author is told, the log keeps it, the search knows it."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from atelier.accounts.sessions import Origin
from atelier.catalog import listing
from atelier.catalog.listing import Filter
from atelier.kernel.clock import now_ms
from atelier.kernel.ids import new_id
from atelier.marketplace import deciding
from atelier.marketplace.deciding import Judge
from tests.authoring.conftest import WRITING, Studio
from tests.live.harness import Person

one_engine = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


async def decide(studio: Studio, agent_id: str, verb: str, body: Any = None, *, who: Person | None = None) -> Any:
    return await studio.ask("POST", f"/api/admin/agents/{agent_id}/{verb}", body, who=who or studio.admin)


async def test_an_approved_agent_is_there_at_once_and_its_author_is_told(
    studio: Studio, creator: Person, reader: Person
) -> None:
    made = await studio.create(creator)
    got = await decide(studio, made["id"], "approve")
    assert (got.status, got.body) == (200, {"success": True, "agentId": made["id"], "status": "published"})
    assert (await studio.read(made["id"], who=reader))["status"] == "published"
    found = (await studio.ask("GET", "/api/agents/search?q=水墨")).body["agents"]
    assert [one["id"] for one in found] == [made["id"]]
    assert studio.told(creator) == [("agent_approved", {"agentName": made["name"]})]
    assert studio.logged(made["id"])[1:] == [
        ("ADMIN_AGENT_APPROVE", studio.admin.id, {"revision": 1, "version": 1}),
    ]


async def test_approving_makes_it_findable_in_the_same_transaction(studio: Studio, creator: Person) -> None:
    made = await studio.create(creator, name="独特名字")
    judge = Judge(admin_id=studio.admin.id, origin=Origin(address="::1", user_agent=None), notice_id=new_id())
    wanted = Filter(search="独特名字")

    def approve_and_look(session: Session) -> list[str]:
        deciding.approve(session, judge=judge, agent_id=made["id"], revision=None, now_ms=now_ms())
        page = listing.search_page(session, wanted=wanted, sort=None, descending=True, offset=0, limit=10)
        session.rollback()
        return [one.id for one in page.agents]

    assert studio.db.transact(approve_and_look) == [made["id"]]
    assert (await studio.ask("GET", "/api/agents/search?q=独特名字")).body["agents"] == []


async def test_a_rejection_needs_a_reason_that_its_author_reads(studio: Studio, creator: Person) -> None:
    made = await studio.create(creator)
    for body, wrong in (
        ({}, "missing"),
        ({"reason": "  "}, "string_too_short"),
        ({"reason": "x" * 501}, "string_too_long"),
    ):
        got = await decide(studio, made["id"], "reject", body)
        assert got.wrong == {"reason": wrong}
    got = await decide(studio, made["id"], "reject", {"reason": "描述与内容不符"})
    assert got.body == {"success": True, "agentId": made["id"], "status": "draft"}
    assert studio.told(creator) == [("agent_rejected", {"agentName": made["name"], "reason": "描述与内容不符"})]
    assert studio.logged(made["id"])[-1] == (
        "ADMIN_AGENT_REJECT",
        studio.admin.id,
        {"revision": 1, "reason": "描述与内容不符"},
    )


async def test_the_queue_begins_with_who_waits_longest(studio: Studio, creator: Person, reader: Person) -> None:
    first = await studio.create(creator, name="甲")
    public = await studio.publish(reader, name="乙")
    third = await studio.create(creator, name="丙")
    await studio.change(reader, await studio.read(public["id"], who=reader), name="乙改")
    await studio.change(creator, first, name="甲改")
    got = await studio.ask("GET", "/api/admin/agents?status=review", who=studio.admin)
    assert [one["id"] for one in got.body["agents"]] == [first["id"], third["id"], public["id"]]
    assert got.body["pagination"]["total"] == 3
    assert got.body["agents"][2]["name"] == "乙"
    assert got.headers["Cache-Control"] == "no-store"
    by_creator = await studio.ask("GET", f"/api/admin/agents?creator={reader.id}", who=studio.admin)
    assert [one["id"] for one in by_creator.body["agents"]] == [public["id"]]
    for search in ("丙", third["slug"], third["id"]):
        found = await studio.ask("GET", f"/api/admin/agents?search={search}", who=studio.admin)
        assert [one["id"] for one in found.body["agents"]] == [third["id"]], search
    everything = await studio.ask("GET", "/api/admin/agents?limit=2", who=studio.admin)
    assert (len(everything.body["agents"]), everything.body["pagination"]["total"]) == (2, 3 + 6)


async def test_what_would_change_is_shown_field_by_field(studio: Studio, creator: Person) -> None:
    public = await studio.publish(creator)
    new = await studio.ask("GET", f"/api/admin/agents/{public['id']}", who=studio.admin)
    assert (new.body["changes"], new.body["draft"]) == ([], None)
    mine = await studio.read(public["id"], who=creator)
    await studio.change(creator, mine, name="新名", tags=["水墨"], categoryId=WRITING, creditsPerUse=60)
    got = (await studio.ask("GET", f"/api/admin/agents/{public['id']}", who=studio.admin)).body
    changes = {one["field"]: (one["before"], one["after"]) for one in got["changes"]}
    assert changes == {
        "name": (public["name"], "新名"),
        "tags": (["水墨", "海报"], ["水墨"]),
        "categoryId": (public["category"]["id"], WRITING),
        "creditsPerUse": (6, 60),
    }
    assert got["runtime"]["provider"] == "local-image"


async def test_only_what_was_looked_at_is_decided(studio: Studio, creator: Person) -> None:
    made = await studio.create(creator)
    await studio.change(creator, made, description="与之前完全不同的描述，值得再看一遍。")
    for verb, body in (("approve", {"revision": 1}), ("reject", {"revision": 1, "reason": "原因"})):
        got = await decide(studio, made["id"], verb, body)
        assert (got.status, got.body["code"], got.body["revision"]) == (409, "AGENT_CHANGED", 2)
    got = await decide(studio, made["id"], "approve", {"revision": 2})
    assert got.status == 200


async def test_of_many_decisions_at_once_one_is_taken(studio: Studio, creator: Person) -> None:
    made = await studio.create(creator)
    verbs = ["approve", "reject"] * 4
    got = await asyncio.gather(
        *(decide(studio, made["id"], verb, {"reason": "原因"} if verb == "reject" else None) for verb in verbs)
    )
    assert sorted(one.status for one in got) == [200] + [409] * 7
    assert {one.body["code"] for one in got if one.status == 409} == {"NOT_IN_REVIEW"}
    taken = next(verb for verb, one in zip(verbs, got, strict=True) if one.status == 200)
    assert [kind for kind, _ in studio.told(creator)] == [f"agent_{taken}ed".replace("approveed", "approved")]
    assert len(studio.logged(made["id"])) == 2


async def test_what_has_been_decided_is_decided_again_only_after_a_change(studio: Studio, creator: Person) -> None:
    made = await studio.create(creator)
    await studio.reject(made["id"])
    for verb in ("approve", "reject"):
        got = await decide(studio, made["id"], verb, {"reason": "原因"} if verb == "reject" else None)
        assert (got.status, got.body["error"]) == (409, "没有待审核的内容")
    again = await studio.ask("POST", f"/api/agents/{made['id']}/submit", who=creator)
    assert (again.status, again.body["status"], again.body["draft"]["status"]) == (200, "review", "review")
    same = await studio.ask("POST", f"/api/agents/{made['id']}/submit", who=creator)
    assert same.body == again.body
    await studio.approve(made["id"])


async def test_a_failed_approval_leaves_nothing_behind(studio: Studio, creator: Person) -> None:
    """Decision, log and notification are one transaction: without the one there is none of the others."""
    made = await studio.create(creator)
    judge = Judge(admin_id=studio.admin.id, origin=Origin(address="::1", user_agent=None), notice_id=new_id())
    taken = studio.world.person()
    studio.db.transact(_take_notice, notice_id=judge.notice_id, user_id=taken.id)
    with pytest.raises(Exception, match=r"UNIQUE|Duplicate"):
        studio.db.transact(deciding.approve, judge=judge, agent_id=made["id"], revision=None, now_ms=now_ms())
    assert (await studio.read(made["id"], who=creator))["status"] == "review"
    assert len(studio.logged(made["id"])) == 1


def _take_notice(session: Session, *, notice_id: str, user_id: str) -> None:
    session.execute(
        text(
            "INSERT INTO notifications (id, user_id, kind, data, due_ms, created_ms)"
            " VALUES (:id, :user, 'role_changed', '{}', 0, 0)"
        ),
        {"id": notice_id, "user": user_id},
    )


@one_engine
async def test_only_administrators_judge(studio: Studio, creator: Person) -> None:
    made = await studio.create(creator)
    asked: tuple[tuple[str, str, Any], ...] = (
        ("GET", "/api/admin/agents", None),
        ("GET", f"/api/admin/agents/{made['id']}", None),
        ("POST", f"/api/admin/agents/{made['id']}/approve", None),
        ("POST", f"/api/admin/agents/{made['id']}/reject", {"reason": "x"}),
        ("POST", "/api/admin/categories", {}),
    )
    for method, path, body in asked:
        assert (await studio.ask(method, path, body, who=creator)).status == 403
        assert (await studio.ask(method, path, body)).status == 401
    assert (await studio.read(made["id"], who=creator))["status"] == "review"
    unknown = await decide(studio, new_id(), "approve")
    assert (unknown.status, unknown.body["code"]) == (404, "AGENT_NOT_FOUND")


CATEGORY = {"slug": "teaching", "nameZh": "教学课件", "nameEn": "Teaching", "color": "#0ea5e9", "position": 0}


async def test_administrators_arrange_the_categories(studio: Studio, creator: Person) -> None:
    path = "/api/admin/categories"
    made = await studio.ask("POST", path, CATEGORY, who=studio.admin, Idempotency_Key="k")
    again = await studio.ask("POST", path, CATEGORY, who=studio.admin, Idempotency_Key="k")
    assert (made.status, again.body, again.headers["Idempotency-Replayed"]) == (201, made.body, "true")
    category_id = made.body["id"]
    same_slug = await studio.ask("POST", path, CATEGORY, who=studio.admin)
    assert (same_slug.status, same_slug.body["code"]) == (409, "CATEGORY_EXISTS")
    public = (await studio.ask("GET", "/api/agents/categories", Accept_Language="en")).body["categories"]
    assert [one["name"] for one in public][:2] == ["Writing", "Teaching"]
    agent = await studio.publish(creator, categoryId=category_id)
    assert agent["category"]["slug"] == "teaching"
    changed = await studio.ask(
        "PUT", f"{path}/{category_id}", {**CATEGORY, "nameZh": "课件", "position": 9}, who=studio.admin
    )
    assert changed.status == 200
    listed = (await studio.ask("GET", path, who=studio.admin)).body["categories"]
    assert listed[-1] == {"id": category_id, **CATEGORY, "nameZh": "课件", "position": 9, "count": 1}
    taken = await studio.ask("PUT", f"{path}/{category_id}", {**CATEGORY, "slug": "image"}, who=studio.admin)
    assert (taken.status, taken.body["code"]) == (409, "CATEGORY_EXISTS")
    used = await studio.ask("DELETE", f"{path}/{category_id}", who=studio.admin)
    assert (used.status, used.body["code"]) == (409, "CATEGORY_IN_USE")
    empty = (await studio.ask("POST", path, {**CATEGORY, "slug": "empty"}, who=studio.admin)).body["id"]
    assert (await studio.ask("DELETE", f"{path}/{empty}", who=studio.admin)).status == 200
    for method, body in (("DELETE", None), ("PUT", CATEGORY)):
        gone = await studio.ask(method, f"{path}/{empty}", body, who=studio.admin)
        assert (gone.status, gone.body["code"]) == (404, "CATEGORY_NOT_FOUND")
    actions = [action for action, _, _ in studio.logged(category_id)]
    assert actions == ["ADMIN_CATEGORY_CREATE", "ADMIN_CATEGORY_UPDATE"]
