"""What is published stays as it is until a change is approved; who looks at an old state overwrites nothing."""

import asyncio

import pytest

from atelier.catalog import queries
from atelier.kernel.clock import DAY_MS, now_ms
from tests.authoring.conftest import WRITING, Studio, agent_body
from tests.live.harness import Person

one_engine = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


async def test_what_waits_or_was_rejected_is_changed_itself(studio: Studio, creator: Person) -> None:
    made = await studio.create(creator)
    changed = (await studio.change(creator, made, name="新名字", tags=["新"])).body
    assert (changed["name"], changed["status"], changed["slug"]) == ("新名字", "review", made["slug"])
    assert changed["revision"] == 2
    assert changed["draft"]["submittedAt"] == made["draft"]["submittedAt"], "it keeps its place in the queue"
    await studio.reject(made["id"], "不够清楚")
    rejected = await studio.read(made["id"], who=creator)
    assert (rejected["status"], rejected["draft"]["status"]) == ("draft", "rejected")
    assert rejected["draft"]["reason"] == "不够清楚"
    again = (await studio.change(creator, rejected, name="更好的名字")).body
    assert (again["status"], again["draft"]["status"], again["draft"]["reason"]) == ("review", "review", None)
    runnable = studio.db.read(queries.runnable, agent_id=made["id"])
    assert runnable is not None
    assert (runnable.version, runnable.name) == (1, "更好的名字"), "only what runs makes a new version"


async def test_a_change_of_a_published_agent_waits_beside_it(studio: Studio, creator: Person) -> None:
    public = await studio.publish(creator)
    mine = await studio.read(public["id"], who=creator)
    got = await studio.change(creator, mine, name="改名 New", creditsPerUse=9, tags=["另一个"])
    assert got.status == 200
    assert (got.body["status"], got.body["name"], got.body["creditsPerUse"]) == ("published", public["name"], 6)
    assert got.body["draft"]["status"] == "review"
    assert got.body["draft"]["definition"]["name"] == "改名 New"
    after = await studio.read(public["id"])
    assert {**after, "viewCount": 0} == {**public, "viewCount": 0}
    assert (await studio.ask("GET", "/api/agents/search?q=改名")).body["agents"] == []
    await studio.approve(public["id"])
    changed = await studio.read(public["id"])
    assert (changed["name"], changed["creditsPerUse"]) == ("改名 New", 9)
    assert [link["tag"]["name"] for link in changed["tags"]] == ["另一个"]
    found = (await studio.ask("GET", "/api/agents/search?q=改名")).body["agents"]
    assert [one["id"] for one in found] == [public["id"]]
    runnable = studio.db.read(queries.runnable, agent_id=public["id"])
    assert runnable is not None
    assert (runnable.version, runnable.credits_per_use) == (2, 9)


async def test_a_rejected_change_leaves_what_is_published(studio: Studio, creator: Person) -> None:
    public = await studio.publish(creator)
    mine = await studio.read(public["id"], who=creator)
    await studio.change(creator, mine, name="坏名字")
    await studio.reject(public["id"], "名字不合适")
    mine = await studio.read(public["id"], who=creator)
    assert (mine["status"], mine["name"]) == ("published", public["name"])
    assert (mine["draft"]["status"], mine["draft"]["reason"]) == ("rejected", "名字不合适")


async def test_to_say_what_is_published_takes_a_change_back(studio: Studio, creator: Person) -> None:
    public = await studio.publish(creator)
    mine = await studio.read(public["id"], who=creator)
    waiting = (await studio.change(creator, mine, name="改名")).body
    taken_back = (await studio.change(creator, waiting)).body
    assert taken_back["draft"] is None
    got = await studio.ask("POST", f"/api/admin/agents/{public['id']}/approve", who=studio.admin)
    assert (got.status, got.body["code"]) == (409, "NOT_IN_REVIEW")


async def test_to_say_the_same_again_changes_nothing(studio: Studio, creator: Person) -> None:
    made = await studio.create(creator)
    same = (await studio.change(creator, made, tags=["水墨", "海报", "水墨"])).body
    assert same == made
    await studio.approve(made["id"])
    public = await studio.read(made["id"], who=creator)
    assert (await studio.change(creator, public)).body == public
    actions = [action for action, _, _ in studio.logged(made["id"])]
    assert actions == ["AGENT_CREATE", "ADMIN_AGENT_APPROVE"]


async def test_who_saw_an_old_state_overwrites_nothing(studio: Studio, creator: Person) -> None:
    made = await studio.create(creator)
    names = [f"名字 {number}" for number in range(8)]
    got = await asyncio.gather(*(studio.change(creator, made, name=name) for name in names))
    assert sorted(one.status for one in got) == [200] + [409] * 7
    assert {one.body["code"] for one in got if one.status == 409} == {"AGENT_CHANGED"}
    assert {one.body["revision"] for one in got} == {2}


async def test_who_names_no_state_changes_whatever_is_there(studio: Studio, creator: Person) -> None:
    made = await studio.create(creator)
    path = f"/api/agents/{made['id']}"
    for revision, name in ((2, "名字一"), (3, "名字二")):
        got = await studio.ask("PUT", path, agent_body(name=name), who=creator)
        assert (got.status, got.body["name"], got.body["revision"]) == (200, name, revision)
    got = await studio.ask("PUT", path, agent_body(revision=2), who=creator)
    assert (got.status, got.body["code"]) == (409, "AGENT_CHANGED")


async def test_what_is_left_out_is_as_in_a_new_agent(studio: Studio, creator: Person) -> None:
    runtime = {"provider": "local-image", "promptTemplate": "水墨：{{prompt}}"}
    made = await studio.create(creator, runtime=runtime, detailedDescription="一行\r\n两行")
    assert made["runtime"]["promptTemplate"] == "水墨：{{prompt}}"
    assert made["detailedDescription"] == "一行\n两行"
    changed = (await studio.change(creator, made)).body
    assert (changed["runtime"]["promptTemplate"], changed["detailedDescription"]) == ("{{prompt}}", None)


@one_engine
async def test_only_its_creator_changes_an_agent(studio: Studio, creator: Person, reader: Person) -> None:
    hidden, public = await studio.create(creator), await studio.publish(creator)
    for agent in (hidden, {**public, "revision": 1}):
        for who, status in ((reader, 404), (studio.admin, 404), (None, 401)):
            path, body = f"/api/agents/{agent['id']}", agent_body(revision=agent["revision"])
            assert (await studio.ask("PUT", path, body, who=who)).status == status
            assert (await studio.ask("DELETE", path, who=who)).status == status
            assert (await studio.ask("POST", f"{path}/submit", who=who)).status == status
    assert (await studio.read(public["id"]))["status"] == "published"


async def test_an_archived_agent_is_gone_for_all_but_its_buyers(
    studio: Studio, creator: Person, reader: Person
) -> None:
    public = await studio.publish(creator, priceType="one_time", basePrice=30, creditsPerUse=None, categoryId=WRITING)
    former = studio.world.person()
    studio.bought(reader, public["id"])
    studio.bought(former, public["id"], expires_ms=now_ms() - DAY_MS)
    path = f"/api/agents/{public['id']}"
    for _ in range(2):
        got = await studio.ask("DELETE", path, who=creator)
        assert (got.status, got.body) == (200, {"success": True})
    assert [action for action, _, _ in studio.logged(public["id"])][-1] == "AGENT_ARCHIVE"
    assert (await studio.ask("GET", "/api/agents/search?q=水墨")).body["agents"] == []
    for who in (None, former):
        assert (await studio.ask("GET", path, who=who)).status == 404
        assert (await studio.ask("GET", f"{path}/reviews", who=who)).status == 404
    for who in (reader, creator, studio.admin):
        assert (await studio.read(public["id"], who=who))["status"] == "archived"
        assert (await studio.ask("GET", f"{path}/reviews", who=who)).status == 200
    mine = await studio.read(public["id"], who=creator)
    got = await studio.change(creator, mine, name="复活")
    assert (got.status, got.body["code"], got.body["error"]) == (409, "AGENT_ARCHIVED", "Agent已下架")


async def test_what_waits_goes_with_an_archived_agent(studio: Studio, creator: Person) -> None:
    made = await studio.create(creator)
    await studio.ask("DELETE", f"/api/agents/{made['id']}", who=creator)
    queue = await studio.ask("GET", "/api/admin/agents?status=review", who=studio.admin)
    assert queue.body["agents"] == []
    got = await studio.ask("POST", f"/api/agents/{made['id']}/submit", who=creator)
    assert (got.status, got.body["code"]) == (409, "NOT_IN_REVIEW")


async def test_creators_list_their_agents_with_what_is_proposed(
    studio: Studio, creator: Person, reader: Person
) -> None:
    rejected = await studio.create(creator, name="一")
    await studio.reject(rejected["id"], "原因")
    public = await studio.publish(creator, name="二")
    waiting = await studio.create(creator, name="三")
    await studio.create(reader, name="别人的")
    archived = await studio.create(creator, name="四")
    await studio.ask("DELETE", f"/api/agents/{archived['id']}", who=creator)
    mine = await studio.read(public["id"], who=creator)
    await studio.change(creator, mine, name="二改")

    async def listed(query: str = "") -> list[tuple[str, str, str | None]]:
        got = await studio.ask("GET", f"/api/agents/mine{query}", who=creator)
        assert got.status == 200
        return [(one["id"], one["status"], one["draft"] and one["draft"]["status"]) for one in got.body["agents"]]

    assert await listed() == [
        (archived["id"], "archived", None),
        (waiting["id"], "review", "review"),
        (public["id"], "published", "review"),
        (rejected["id"], "draft", "rejected"),
    ]
    assert [one[0] for one in await listed("?status=review")] == [waiting["id"], public["id"]]
    assert [one[0] for one in await listed("?status=rejected")] == [rejected["id"]]
    assert [one[0] for one in await listed("?status=published")] == [public["id"]]
    assert [one[0] for one in await listed("?status=archived&limit=1")] == [archived["id"]]
    assert await listed("?status=draft") == []
    assert await listed("?page=2") == []
    first = (await studio.ask("GET", "/api/agents/mine?status=rejected", who=creator)).body["agents"][0]
    assert first["draft"]["reason"] == "原因"
    assert (await studio.ask("GET", "/api/agents/mine")).status == 401
    assert (await studio.ask("GET", "/api/agents/mine?status=gone", who=creator)).status == 400
