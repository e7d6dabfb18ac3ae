"""Projects: A73 to A78 and A80."""

import asyncio
from typing import Any

import pytest

from atelier.catalog.seed_content import ECHO
from tests.seed_defects.conftest import Got, Shop

PROJECTS = "/api/workshop/projects"
NEW = {"title": "江南四季", "type": "mixed"}
GENERATE = "/api/workshop/generate"


async def created(shop: Shop, token: str, **changes: Any) -> str:
    got = await shop.ask("POST", PROJECTS, {**NEW, **changes}, token=token)
    assert got.status == 201, got.text
    return str(got.body["id"])


def refused(got: Got) -> tuple[int, str]:
    return got.status, got.body["code"]


@pytest.mark.parametrize(
    "query",
    [
        *("page=abc", "page=0", "page=-1", "page=1e9", "page=NaN", "page=Infinity", "page=", "limit=0", "limit=x"),
        *("status=nonsense", "status=", "type=novel", "type[]=text", "status=draft&status=draft", "userId=1"),
        *("shared=yes", "role=owner", "deleted=1", "orderBy=title", "status[contains]=d"),
    ],
)
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_A73_a_filter_that_is_none_is_refused(shop: Shop, query: str) -> None:
    token = await shop.token()
    assert refused(await shop.ask("GET", f"{PROJECTS}?{query}", token=token)) == (400, "VALIDATION_FAILED")
    assert (await shop.ask("GET", f"{PROJECTS}?limit=1000&page=99999", token=token)).body["pagination"]["limit"] == 50


async def test_A74_A136_team_means_those_who_were_invited_and_ids_open_nothing(shop: Shop) -> None:
    owner, mei, stranger = await shop.token("owner"), await shop.token("mei"), await shop.token("stranger")
    private, team = await created(shop, owner), await created(shop, owner, visibility="team")
    for project in (private, team):
        await shop.ask("POST", f"{PROJECTS}/{project}/versions", {"content": {"secret": "稿"}}, token=owner)
        for path in ("", "/versions", "/versions/1", "/collaborate"):
            got = await shop.ask("GET", f"{PROJECTS}/{project}{path}", token=stranger)
            assert refused(got) == (404, "PROJECT_NOT_FOUND")
            assert "稿" not in got.text
        acts: list[tuple[str, str, dict[str, Any] | None]] = [
            ("PUT", "", {"title": "我的"}),
            ("DELETE", "", None),
            ("POST", "/restore", None),
            ("POST", "/versions", {"content": {}}),
            ("POST", "/versions/1/restore", None),
            ("POST", "/collaborate", {"username": "stranger", "role": "editor"}),
        ]
        for method, path, body in acts:
            got = await shop.ask(method, f"{PROJECTS}/{project}{path}", body, token=stranger)
            assert refused(got) == (404, "PROJECT_NOT_FOUND"), (method, path)
    invited = await shop.ask(
        "POST", f"{PROJECTS}/{team}/collaborate", {"username": "mei", "role": "viewer"}, token=owner
    )
    assert invited.status == 202
    assert (await shop.ask("GET", f"{PROJECTS}/{team}", token=mei)).status == 404
    assert (await shop.ask("POST", f"{PROJECTS}/{team}/collaborate/accept", token=mei)).status == 200
    assert (await shop.ask("GET", f"{PROJECTS}/{team}/versions/1", token=mei)).body["content"] == {"secret": "稿"}
    assert refused(await shop.ask("PUT", f"{PROJECTS}/{team}", {"title": "我的"}, token=mei)) == (403, "FORBIDDEN")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_A75_what_is_said_of_a_project_is_bounded(shop: Shop) -> None:
    token = await shop.token()
    wrong: dict[str, dict[str, Any]] = {
        "title": {"title": "长" * 201},
        "description": {"description": "长" * 2_001},
        "config": {"config": {"x": "长" * 3_000}},
        "type": {"type": "novel"},
        "visibility": {"visibility": "everyone"},
    }
    for field, changes in wrong.items():
        for got in (
            await shop.ask("POST", PROJECTS, {**NEW, **changes}, token=token),
            await shop.ask("PUT", f"{PROJECTS}/{await created(shop, token)}", changes, token=token),
        ):
            assert (refused(got), got.body["details"][0]["path"][0]) == ((400, "VALIDATION_FAILED"), field)
    deep: Any = 1
    for _ in range(30):
        deep = {"a": deep}
    project = await created(shop, token)
    for content, code in (
        ({"a": deep}, "VALIDATION_FAILED"),
        ({"a": "x" * 270_000}, "VALIDATION_FAILED"),
        ({"a": "x" * 400_000}, "PAYLOAD_TOO_LARGE"),
        ([1], "VALIDATION_FAILED"),
        ({"a": 10**30}, "VALIDATION_FAILED"),
    ):
        got = await shop.ask("POST", f"{PROJECTS}/{project}/versions", {"content": content}, token=token)
        assert got.body["code"] == code
    got = await shop.ask("POST", f"{PROJECTS}/{project}/versions", {"content": {"a": "x" * 260_000}}, token=token)
    assert got.status == 201


async def test_A76_nothing_that_decides_something_is_taken_from_a_body(shop: Shop) -> None:
    token, other = await shop.token(), await shop.token("other")
    me = (await shop.ask("GET", "/api/auth/profile", token=token)).body["id"]
    smuggled = {
        "userId": "x",
        "ownerId": "x",
        "id": "x",
        "role": "owner",
        "revision": 9,
        "versions": 9,
        "deletedAt": None,
    }
    project = await created(shop, token)
    for name, value in {**smuggled, "status": "completed"}.items():
        got = await shop.ask("POST", PROJECTS, {**NEW, name: value}, token=token)
        assert got.body["details"] == [{"path": [name], "message": "不支持该字段", "code": "extra_forbidden"}]
    for name, value in smuggled.items():
        got = await shop.ask("PUT", f"{PROJECTS}/{project}", {name: value}, token=token)
        assert refused(got) == (400, "VALIDATION_FAILED")
    for name in ("number", "authorId", "jobId", "isCurrent", "kind"):
        got = await shop.ask("POST", f"{PROJECTS}/{project}/versions", {"content": {}, name: 1}, token=token)
        assert refused(got) == (400, "VALIDATION_FAILED")
    shown = (await shop.ask("GET", f"{PROJECTS}/{project}", token=token)).body
    assert (shown["userId"], shown["status"], shown["_count"]["versions"]) == (me, "draft", 0)
    assert (await shop.ask("GET", PROJECTS, token=other)).body["projects"] == []


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_A77_a_list_shows_a_line_of_each_version_and_no_content(shop: Shop) -> None:
    token = await shop.token()
    large = {"text": "清晨", "data": "x" * 250_000}
    made = [await created(shop, token) for _ in range(5)]
    for project in made:
        for _ in range(2):
            got = await shop.ask("POST", f"{PROJECTS}/{project}/versions", {"content": large}, token=token)
            assert "x" * 200 not in got.text
    for path in ("", f"/{made[0]}", f"/{made[0]}/versions"):
        got = await shop.ask("GET", f"{PROJECTS}{path}", token=token)
        assert got.status == 200
        assert len(got.text) < 6_000
    (current,) = (await shop.ask("GET", PROJECTS, token=token)).body["projects"][0]["versions"]
    assert (current["preview"]["text"], current["isCurrent"], current["number"]) == ("清晨", True, 2)
    assert current["size"] > 250_000
    assert (await shop.ask("GET", f"{PROJECTS}/{made[0]}/versions/2", token=token)).body["content"] == large


async def test_A78_a_user_has_so_many_projects_and_no_more(shop: Shop) -> None:
    token, limit = await shop.token(), shop.settings.projects_max
    for _ in range(limit - 3):
        await created(shop, token)
    answers = await asyncio.gather(*(shop.ask("POST", PROJECTS, NEW, token=token) for _ in range(10)))
    assert sorted(got.status for got in answers) == [201] * 3 + [409] * 7
    full = next(got for got in answers if got.status == 409)
    assert (full.body["code"], full.body["error"], full.body["limit"]) == ("PROJECT_LIMIT", "项目数量已达上限", limit)
    assert (await shop.ask("GET", PROJECTS, token=token)).body["pagination"]["total"] == limit


async def test_A80_a_generation_goes_only_into_a_project_that_one_may_write_to(shop: Shop) -> None:
    owner, editor, viewer = (
        await shop.token("owner"),
        await shop.token("editor", amount=9),
        await shop.token("viewer", amount=9),
    )
    private, public = await created(shop, owner), await created(shop, owner, visibility="public")
    for name in ("editor", "viewer"):
        body = {"username": name, "role": name}
        assert (await shop.ask("POST", f"{PROJECTS}/{public}/collaborate", body, token=owner)).status == 202
        token = {"editor": editor, "viewer": viewer}[name]
        assert (await shop.ask("POST", f"{PROJECTS}/{public}/collaborate/accept", token=token)).status == 200
    wish = {"agentId": ECHO.id, "inputData": {"prompt": "回声"}, "saveVersion": True}
    for token, project in ((editor, private), (viewer, private), (viewer, public)):
        got = await shop.ask("POST", GENERATE, {**wish, "projectId": project}, token=token)
        assert (refused(got), got.body["error"]) == ((404, "PROJECT_NOT_FOUND"), "项目不存在")
    balances = [
        (await shop.ask("GET", "/api/payments/credits/balance", token=token)).body["held"] for token in (editor, viewer)
    ]
    assert balances == [0, 0]
    assert (await shop.ask("POST", GENERATE, {**wish, "projectId": public}, token=editor)).status == 202
    assert (await shop.ask("DELETE", f"{PROJECTS}/{public}", token=owner)).status == 200
    assert refused(await shop.ask("POST", GENERATE, {**wish, "projectId": public}, token=editor)) == (
        404,
        "PROJECT_NOT_FOUND",
    )
