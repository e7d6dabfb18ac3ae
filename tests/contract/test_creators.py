"""A creator's life as the front ends drive it, over HTTP, against every role, on both databases."""

import json
from collections.abc import Iterator

import pytest

from atelier.onboarding import operator
from tests.contract import attacks
from tests.contract.conftest import Place
from tests.contract.front_end import AGENT, ID, MOMENT, PAGINATION, PASSWORD, FrontEnd, Json, assert_keys
from tests.contract.seed_routes import drives
from tests.servers import until
from tests.stack import Stack

WRITING = "01990000-0000-7000-8000-000000000101"
DETAIL = AGENT | {"pricing", "resultDays", "iconUrl", "examples", "reviews", "_count"}
PURCHASE = {"id", "agentId", "purchaseType", "isActive", "expiresAt", "createdAt", "autoRenew", "renewPrice"}
PROJECT = {
    *("id", "userId", "title", "description", "type", "status", "visibility", "config", "role", "owner", "versions"),
    *("_count", "createdAt", "updatedAt", "deletedAt"),
}
VERSION = {"id", "projectId", "number", "note", "isCurrent", "authorId", "jobId", "preview", "size", "createdAt"}
PROJECTS = "/api/workshop/projects"
FILE = {"id", "name", "size", "type", "sha256", "url", "createdAt"}
INSIDE = DETAIL | {"defaultConfig", "runtime", "revision", "draft"}
BODY: Json = {
    "name": "诗歌助手 Poet",
    "description": "写一首小诗，题目由你来定，几秒完成。",
    "categoryId": WRITING,
    "priceType": "pay_per_use",
    "creditsPerUse": 3,
    "capabilities": ["写诗"],
    "supportedLanguages": ["zh"],
    "inputTypes": ["text"],
    "outputTypes": ["text"],
    "tags": ["诗"],
}


@pytest.fixture(scope="module")
def stack(place: Place) -> Iterator[Stack]:
    made = Stack(place.database_url, place.redis_url, place.folder)
    made.start_all()
    yield made
    assert made.diagnosis() == []
    made.close()


def _someone(stack: Stack, name: str, *, role: str = "user", amount: int = 100) -> FrontEnd:
    operator.create_user(
        stack.database, email=f"{name}@example.com", username=name, password=PASSWORD, role=role, amount=amount
    )
    person = FrontEnd(stack, name)
    person.login()
    return person


@pytest.fixture(scope="module")
def people(stack: Stack) -> tuple[FrontEnd, FrontEnd, FrontEnd]:
    """Who creates, who uses, who decides."""
    return _someone(stack, "poet"), _someone(stack, "reader"), _someone(stack, "boss", role="admin")


@drives("POST /api/agents", "PUT /api/agents/{agentId}", "GET /api/agents/{agentId}", "GET /api/admin/agents")
@drives("POST /api/admin/agents/{agentId}/reject", "POST /api/admin/agents/{agentId}/approve")
@drives("GET /api/agents/{agentId}/reviews", "POST /api/agents/{agentId}/reviews", "POST /api/workshop/generate")
def test_from_an_idea_to_a_reviewed_agent(people: tuple[FrontEnd, FrontEnd, FrontEnd]) -> None:
    poet, reader, boss = people
    agent_id = _published(poet, boss)
    visitor = FrontEnd(poet.stack, "visitor")
    shown = visitor.call("GET", f"/api/agents/{agent_id}")
    assert_keys(shown, expected=DETAIL)
    assert (shown["name"], shown["status"], shown["creator"]["username"]) == ("诗歌助手", "published", "poet")
    assert [one["id"] for one in visitor.call("GET", "/api/agents/search?q=诗歌")["agents"]] == [agent_id]
    assert [one["id"] for one in visitor.call("GET", "/api/agents?tag=诗")["agents"]] == [agent_id]

    reviews = f"/api/agents/{agent_id}/reviews"
    refused = (403, "REVIEW_NOT_ALLOWED", "使用或购买后才能评价该Agent")
    reader.refused("POST", reviews, {"rating": 5}, refused)
    body = {"agentId": agent_id, "inputData": {"prompt": "江南水乡的清晨"}}
    done = reader.call("POST", "/api/workshop/generate", body, Prefer="wait=30")
    assert (done["success"], done["result"]["outputs"][0]["type"]) == (True, "text")
    written = reader.call("POST", reviews, {"rating": 4, "comment": "很快"}, status=201)
    assert_keys(written["review"], expected={"id", "user", "rating", "comment", "createdAt", "updatedAt"})
    listed = visitor.call("GET", reviews)
    assert_keys(listed, expected={"reviews", "pagination"})
    assert_keys(listed["pagination"], expected=PAGINATION)
    after = visitor.call("GET", f"/api/agents/{agent_id}")
    assert (after["ratingAvg"], after["reviewsCount"], after["reviews"]) == (4.0, 1, listed["reviews"])
    until(lambda: visitor.call("GET", f"/api/agents/{agent_id}")["viewCount"] == 1, what="the visitor is counted")
    told = [one["kind"] for one in poet.call("GET", "/api/notifications")["notifications"]]
    assert told[:3] == ["review_received", "agent_approved", "agent_rejected"]


def _published(poet: FrontEnd, boss: FrontEnd) -> str:
    """An agent that was turned down once, changed and approved; its id."""
    made: Json = poet.call("POST", "/api/agents", BODY, status=201)
    assert_keys(made, expected=INSIDE)
    assert (made["status"], made["slug"]) == ("review", "poet")
    assert ID.fullmatch(made["id"])
    assert MOMENT.fullmatch(made["createdAt"])
    path, judged = f"/api/agents/{made['id']}", f"/api/admin/agents/{made['id']}"
    FrontEnd(poet.stack, "visitor").refused("GET", path, None, (404, "AGENT_NOT_FOUND", "Agent不存在"))
    queue = boss.call("GET", "/api/admin/agents?status=review")
    assert [one["id"] for one in queue["agents"]] == [made["id"]]
    poet.refused("POST", f"{judged}/approve", None, (403, "FORBIDDEN", "权限不足"))
    assert boss.call("POST", f"{judged}/reject", {"reason": "名字太长"})["status"] == "draft"
    (mine,) = poet.call("GET", "/api/agents/mine?status=rejected")["agents"]
    assert (mine["draft"]["status"], mine["draft"]["reason"]) == ("rejected", "名字太长")
    changed = poet.call("PUT", path, {**BODY, "name": "诗歌助手", "revision": mine["revision"]})
    assert changed["status"] == "review"
    assert boss.call("GET", judged)["draft"]["definition"]["name"] == "诗歌助手"
    assert boss.call("POST", f"{judged}/approve", {"revision": changed["revision"]})["status"] == "published"
    return str(made["id"])


@drives("POST /api/agents/{agentId}/purchase", "DELETE /api/agents/{agentId}")
def test_what_was_bought_outlives_its_agent(people: tuple[FrontEnd, FrontEnd, FrontEnd]) -> None:
    poet, reader, boss = people
    body = {**BODY, "priceType": "one_time", "basePrice": 20, "name": "旧诗集"}
    del body["creditsPerUse"]
    agent_id = str(poet.call("POST", "/api/agents", body, status=201)["id"])
    boss.call("POST", f"/api/admin/agents/{agent_id}/approve")
    asked = {"agentId": agent_id, "inputData": {"prompt": "旧时月色"}}
    reader.refused("POST", "/api/workshop/generate", asked, (403, "NOT_PURCHASED", "您还未购买该Agent"))
    buying = f"/api/agents/{agent_id}/purchase"
    poor = _someone(poet.stack, "poor", amount=19)
    problem = poor.refused("POST", buying, None, (400, "INSUFFICIENT_CREDITS", "积分不足"))
    assert (problem["balance"], problem["required"]) == (19, 20)
    bought = reader.call("POST", buying, {"expectedPrice": 20})
    assert_keys(bought, expected={"success", "purchase"})
    assert_keys(bought["purchase"], expected=PURCHASE)
    assert (bought["success"], bought["purchase"]["isActive"], bought["purchase"]["expiresAt"]) == (True, True, None)
    reader.refused("POST", buying, None, (400, "ALREADY_PURCHASED", "您已购买该Agent"))
    assert poet.call("DELETE", f"/api/agents/{agent_id}") == {"success": True}
    FrontEnd(poet.stack, "visitor").call("GET", f"/api/agents/{agent_id}", status=404)
    assert reader.call("GET", f"/api/agents/{agent_id}")["status"] == "archived"

    def runs() -> bool:
        return bool(reader.call("POST", "/api/workshop/generate", asked, Prefer="wait=30")["success"])

    assert until(runs, what="its buyer goes on using it")


@drives("POST /api/agents/upload")
def test_a_package_becomes_a_draft(people: tuple[FrontEnd, FrontEnd, FrontEnd]) -> None:
    poet, *_ = people
    manifest = json.dumps({**BODY, "name": "包裹"}).encode()
    draft = poet.upload("/api/agents/upload", ("manifest.json", manifest, "application/json"))
    assert_keys(draft, expected=INSIDE)
    assert draft["status"] == "draft"
    assert poet.call("POST", f"/api/agents/{draft['id']}/submit")["status"] == "review"


@drives("POST /api/workshop/projects", "GET /api/workshop/projects", "GET /api/workshop/projects/{projectId}")
@drives("PUT /api/workshop/projects/{projectId}", "DELETE /api/workshop/projects/{projectId}")
@drives("POST /api/workshop/projects/{projectId}/restore", "POST /api/workshop/projects/{projectId}/versions")
@drives("GET /api/workshop/projects/{projectId}/versions", "POST /api/workshop/generate")
@drives("POST /api/workshop/projects/{projectId}/versions/{version}/restore")
def test_a_project_keeps_what_is_made_for_it(people: tuple[FrontEnd, FrontEnd, FrontEnd]) -> None:
    poet, reader, _ = people
    body = {"title": "江南四季", "type": "text", "visibility": "private", "config": {"ratio": "3:4"}}
    project = poet.call("POST", PROJECTS, body, status=201)
    assert_keys(project, expected=PROJECT)
    assert (project["status"], project["role"], project["_count"]) == ("draft", "owner", {"versions": 0})
    path = f"{PROJECTS}/{project['id']}"
    reader.refused("GET", path, None, (404, "PROJECT_NOT_FOUND", "项目不存在"))
    made = poet.call("POST", f"{path}/versions", {"content": {"text": "清晨"}, "note": "第一稿"}, status=201)
    assert_keys(made, expected=VERSION)
    asked = {"agentId": poet.stack.agent("echo"), "projectId": project["id"], "saveVersion": True}
    done = poet.call("POST", "/api/workshop/generate", {**asked, "inputData": {"prompt": "回声"}}, Prefer="wait=30")
    assert_keys(done, expected={"success", "result", "usageId", "processingTime"})
    assert done["result"]["savedVersion"] == {"projectId": project["id"], "number": 2, "reason": None, "message": None}
    listed = poet.call("GET", f"{path}/versions")
    assert_keys(listed, expected={"versions", "pagination"})
    assert [(one["number"], one["isCurrent"], one["jobId"]) for one in listed["versions"]] == [
        (2, True, done["usageId"]),
        (1, False, None),
    ]
    assert poet.call("POST", f"{path}/versions/1/restore")["isCurrent"] is True
    (shown,) = poet.call("GET", f"{PROJECTS}?status=draft&type=text")["projects"]
    assert (shown, shown["versions"][0]["number"]) == (poet.call("GET", path), 1)
    assert poet.call("PUT", path, {"title": "四季", "status": "active"})["title"] == "四季"
    assert poet.call("DELETE", path)["success"] is True
    poet.refused("GET", path, None, (404, "PROJECT_NOT_FOUND", "项目不存在"))
    assert poet.call("POST", f"{path}/restore")["deletedAt"] is None


@drives("POST /api/workshop/projects/{projectId}/collaborate", "GET /api/workshop/projects/{projectId}/collaborate")
@drives("POST /api/workshop/projects/{projectId}/collaborate/accept")
@drives("DELETE /api/workshop/projects/{projectId}/collaborate/{userId}")
def test_people_are_invited_to_a_project(people: tuple[FrontEnd, FrontEnd, FrontEnd]) -> None:
    poet, reader, _ = people
    project = poet.call("POST", PROJECTS, {"title": "合集", "type": "mixed", "visibility": "team"}, status=201)
    path = f"{PROJECTS}/{project['id']}"
    body = {"email": reader.email, "role": "viewer"}
    assert poet.call("POST", f"{path}/collaborate", body, status=202) == {"success": True}
    told = reader.call("GET", "/api/notifications?limit=1")["notifications"][0]
    assert (told["kind"], told["refId"]) == ("project_invitation", project["id"])
    assert reader.call("POST", f"{path}/collaborate/accept")["role"] == "viewer"
    (member,) = poet.call("GET", f"{path}/collaborate")["collaborators"]
    assert_keys(member, expected={"id", "username", "displayName", "avatarUrl", "role", "joinedAt"})
    reader.refused("POST", f"{path}/versions", {"content": {}}, (403, "FORBIDDEN", "权限不足"))
    assert poet.call("DELETE", f"{path}/collaborate/{member['id']}") == {"success": True}
    reader.refused("GET", path, None, (404, "PROJECT_NOT_FOUND", "项目不存在"))


@drives("POST /api/files/upload", "GET /api/files/{fileId}", "DELETE /api/files/{fileId}", "POST /api/files/uploads")
@drives("POST /api/users/avatar")
def test_files_are_kept_and_shown(people: tuple[FrontEnd, FrontEnd, FrontEnd]) -> None:
    poet, reader, _ = people
    file = poet.upload("/api/files/upload", ("诗 稿.txt", "清晨".encode(), "text/plain"))
    assert_keys(file, expected=FILE)
    assert (file["name"], file["size"], file["type"]) == ("诗 稿.txt", 6, "text/plain")
    assert poet.answer("GET", file["url"]).content.decode() == "清晨"
    part = poet.answer("GET", file["url"], status=206, Range="bytes=3-5")
    assert (part.content.decode(), part.headers["Content-Range"]) == ("晨", "bytes 3-5/6")
    reader.refused("GET", file["url"], None, (404, "NOT_FOUND", "资源不存在"))
    lying = poet.upload("/api/files/upload", ("a.png", b"<script>", "image/png"), status=415)
    assert (lying["code"], lying["error"]) == ("UNSUPPORTED_MEDIA", "不支持的内容类型")
    assert poet.call("DELETE", file["url"]) == {"success": True}
    poet.refused("GET", file["url"], None, (404, "NOT_FOUND", "资源不存在"))
    shown = poet.upload("/api/users/avatar", ("me.png", attacks.PICTURE, "image/png"), status=200)
    assert_keys(shown, expected={"avatarUrl", "file"})
    assert poet.call("GET", "/api/auth/profile")["avatarUrl"] == shown["avatarUrl"]
    assert FrontEnd(poet.stack, "img").answer("GET", shown["avatarUrl"]).headers["Content-Type"] == "image/webp"

    announced = poet.call("POST", "/api/files/uploads", {"name": "a.txt", "size": 5, "type": "text/plain"}, status=201)
    assert_keys(announced, expected={"id", "status", "url", "method", "fields", "expiresAt"})
    sent = poet.stack.client.post(announced["url"], data=announced["fields"], files={"file": ("a.txt", b"hello")})
    assert sent.status_code == 204, sent.text
    state = f"/api/files/uploads/{announced['id']}"
    looked_at = poet.call("POST", f"{state}/complete", status=202)
    assert_keys(looked_at, expected={"id", "status", "file", "errorCode", "errorMessage"})
    assert looked_at["status"] == "checking"
