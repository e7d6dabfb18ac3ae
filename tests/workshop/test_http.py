"""The workshop over HTTP: shapes, words, and what is kept between two requests."""

import asyncio
from typing import Any

from atelier.catalog.seed_content import ECHO
from atelier.kernel.ids import new_id
from tests.workshop.conftest import House
from tests.workshop.studio import VERSIONS_MAX

PROJECT = {
    *("id", "userId", "title", "description", "type", "status", "visibility", "config", "role", "owner", "versions"),
    *("_count", "createdAt", "updatedAt", "deletedAt"),
}
VERSION = {"id", "projectId", "number", "note", "isCurrent", "authorId", "jobId", "preview", "size", "createdAt"}
NEW = {"title": "江南四季", "type": "mixed"}
GENERATE = "/api/workshop/generate"


async def created(house: House, owner: str, **changes: Any) -> dict[str, Any]:
    got = await house.ask("POST", "", {**NEW, **changes}, who=owner)
    assert got.status == 201, got.body
    assert got.headers["Location"] == f"/api/workshop/projects/{got.body['id']}"
    body: dict[str, Any] = got.body
    return body


async def test_a_project_is_made_listed_read_and_changed(house: House) -> None:
    me = house.studio.user("mei")
    project = await created(house, me, description="一组\n图文", config={"ratio": "3:4"})
    assert project.keys() == PROJECT
    assert (project["userId"], project["status"], project["visibility"]) == (me, "draft", "private")
    assert (project["versions"], project["_count"], project["role"]) == ([], {"versions": 0}, "owner")
    assert project["owner"] == {"id": me, "username": "mei", "displayName": "mei 的名字", "avatarUrl": None}
    path = f"/{project['id']}"
    body = {"content": {"text": "清晨"}, "note": "第一稿"}
    version = await house.ask("POST", f"{path}/versions", body, who=me)
    assert (version.status, version.body.keys()) == (201, VERSION)
    assert version.headers["Location"] == f"/api/workshop/projects{path}/versions/1"
    assert version.body["preview"] == {"text": "清晨", "kind": None, "url": None}
    listed = await house.ask("GET", "?status=draft&type=mixed", who=me)
    assert listed.body["pagination"] == {"page": 1, "limit": 20, "total": 1, "pages": 1}
    assert listed.body["projects"][0]["versions"] == [version.body]
    assert "content" not in listed.body["projects"][0]["versions"][0]
    assert (await house.ask("GET", "?status=active", who=me)).body["projects"] == []

    read = await house.ask("GET", path, who=me)
    assert read.body == listed.body["projects"][0]
    assert (await house.ask("GET", path, who=me, If_None_Match=read.headers["ETag"])).status == 304
    changed = await house.ask("PUT", path, {"title": "江南", "description": None}, who=me)
    assert (changed.body["title"], changed.body["description"], changed.body["config"]) == (
        "江南",
        None,
        {"ratio": "3:4"},
    )
    assert (await house.ask("GET", path, who=me)).headers["ETag"] == changed.headers["ETag"]


async def test_what_was_changed_meanwhile_is_not_overwritten(house: House) -> None:
    me = house.studio.user()
    path = f"/{(await created(house, me))['id']}"
    seen = (await house.ask("GET", path, who=me)).headers["ETag"]
    await house.ask("POST", f"{path}/versions", {"content": {}}, who=me)
    assert (await house.ask("PUT", path, {"title": "一"}, who=me, If_Match=seen)).status == 200
    late = await house.ask("PUT", path, {"title": "二"}, who=me, If_Match=seen)
    assert late.refused == (412, "PRECONDITION_FAILED")
    assert late.body["error"] == "内容已被修改，请刷新后重试"
    assert (await house.ask("PUT", path, {"title": "三"}, who=me, If_Match=f"{seen}, W/{seen}")).status == 412
    assert (await house.ask("PUT", path, {"title": "四"}, who=me, If_Match="*")).status == 200
    assert (await house.ask("PUT", path, {}, who=me)).body["title"] == "四"


async def test_versions_are_read_one_by_one_and_restored(house: House) -> None:
    me = house.studio.user()
    path = f"/{(await created(house, me))['id']}/versions"
    for number in range(1, 4):
        await house.ask("POST", path, {"content": {"n": number, "deep": [{"a": None}]}}, who=me)
    page = await house.ask("GET", f"{path}?limit=2", who=me)
    assert [(one["number"], one["isCurrent"]) for one in page.body["versions"]] == [(3, True), (2, False)]
    assert page.body["pagination"] == {"page": 1, "limit": 2, "total": 3, "pages": 2}
    one = await house.ask("GET", f"{path}/1", who=me)
    assert one.body.keys() == VERSION | {"content"}
    assert one.body["content"] == {"n": 1, "deep": [{"a": None}]}
    assert (await house.ask("GET", f"{path}/1", who=me, If_None_Match=one.headers["ETag"])).status == 304
    restored = await house.ask("POST", f"{path}/1/restore", who=me)
    assert (restored.status, restored.body["isCurrent"]) == (200, True)
    assert (await house.ask("GET", f"{path}/1", who=me)).body["isCurrent"] is True
    for wrong in ("0", "4", "-1", "x", "1.5", "9" * 20, "٣"):
        assert (await house.ask("GET", f"{path}/{wrong}", who=me)).refused == (404, "NOT_FOUND")
        assert (await house.ask("POST", f"{path}/{wrong}/restore", who=me)).refused == (404, "NOT_FOUND")


async def test_what_is_asked_twice_with_one_key_is_done_once(house: House) -> None:
    me = house.studio.user("mei")
    first, again = [await house.ask("POST", "", NEW, who=me, Idempotency_Key="k") for _ in range(2)]
    assert (first.body, again.headers["Idempotency-Replayed"]) == (again.body, "true")
    reused = await house.ask("POST", "", {**NEW, "title": "别的"}, who=me, Idempotency_Key="k")
    assert reused.refused == (422, "IDEMPOTENCY_KEY_REUSED")
    path = f"/{first.body['id']}"
    await house.ask("PUT", path, {"visibility": "team"}, who=me)
    versions = [
        await house.ask("POST", f"{path}/versions", {"content": {}}, who=me, Idempotency_Key="v") for _ in range(2)
    ]
    assert versions[0].body == versions[1].body
    guest = house.studio.user("lin")
    for _ in range(2):
        body = {"username": "lin", "role": "viewer"}
        got = await house.ask("POST", f"{path}/collaborate", body, who=me, Idempotency_Key="c")
        assert (got.status, got.body) == (202, {"success": True})
    assert house.studio.numbers(first.body["id"]) == [1]
    assert len(house.studio.notices(guest)) == 1
    assert len(house.studio.page(me)) == 1


async def test_the_bin_is_a_list_of_its_own(house: House) -> None:
    me = house.studio.user()
    project = await created(house, me)
    gone = await house.ask("DELETE", f"/{project['id']}", who=me)
    assert (gone.status, gone.body["success"]) == (200, True)
    assert gone.body["restorableUntil"] > project["createdAt"]
    assert (await house.ask("GET", f"/{project['id']}", who=me)).refused == (404, "PROJECT_NOT_FOUND")
    assert (await house.ask("DELETE", f"/{project['id']}", who=me)).body["error"] == "项目不存在"
    assert (await house.ask("GET", "", who=me)).body["projects"] == []
    (binned,) = (await house.ask("GET", "?deleted=true", who=me)).body["projects"]
    assert binned["deletedAt"]
    back = await house.ask("POST", f"/{project['id']}/restore", who=me)
    assert (back.status, back.body["deletedAt"]) == (200, None)


async def test_people_work_together(house: House) -> None:
    owner, mei, lin = (house.studio.user(name) for name in ("owner", "mei", "lin"))
    path = f"/{(await created(house, owner))['id']}"
    body = {"email": "mei@example.com", "role": "editor"}
    private = await house.ask("POST", f"{path}/collaborate", body, who=owner)
    assert private.refused == (409, "PROJECT_PRIVATE")
    await house.ask("PUT", path, {"visibility": "team"}, who=owner)
    answers = [
        (await house.ask("POST", f"{path}/collaborate", {**body, "email": address}, who=owner))
        for address in ("mei@example.com", "nobody@example.com")
    ]
    assert [(one.status, one.body) for one in answers] == [(202, {"success": True})] * 2
    assert (await house.ask("POST", f"{path}/collaborate/accept", who=lin)).refused == (404, "NOT_FOUND")
    joined = await house.ask("POST", f"{path}/collaborate/accept", who=mei)
    assert (joined.status, joined.body["role"], joined.body["title"]) == (200, "editor", "江南四季")
    team = (await house.ask("GET", f"{path}/collaborate", who=owner)).body
    (one,) = team["collaborators"]
    assert one.keys() == {"id", "username", "displayName", "avatarUrl", "role", "joinedAt"}
    assert (team["owner"]["id"], one["id"], one["role"]) == (owner, mei, "editor")
    (invitation,) = team["invitations"]
    assert invitation.keys() == {"id", "email", "username", "role", "createdAt", "expiresAt"}
    assert (invitation["email"], invitation["username"]) == ("nobody@example.com", None)
    shown = (await house.ask("GET", f"{path}/collaborate", who=mei)).body
    assert (shown["collaborators"], shown["invitations"]) == ([one], None)
    assert [p["role"] for p in (await house.ask("GET", "?shared=true", who=mei)).body["projects"]] == ["editor"]
    assert (await house.ask("GET", "?role=viewer", who=mei)).body["projects"] == []
    gone = await house.ask("DELETE", f"{path}/collaborate/invitations/{invitation['id']}", who=owner)
    assert (gone.status, gone.body) == (200, {"success": True})
    await house.ask("POST", f"{path}/collaborate", {"username": "lin", "role": "viewer"}, who=owner)
    assert (await house.ask("POST", f"{path}/collaborate/decline", who=lin)).body == {"success": True}
    assert (await house.ask("DELETE", f"{path}/collaborate/{mei}", who=mei)).body == {"success": True}
    assert (await house.ask("GET", path, who=mei)).refused == (404, "PROJECT_NOT_FOUND")


async def test_an_invitation_names_one_way_to_find_someone(house: House) -> None:
    me = house.studio.user()
    path = f"/{(await created(house, me, visibility='team'))['id']}/collaborate"
    wrong: list[dict[str, Any]] = [
        {"role": "viewer"},
        {"email": "a@example.com", "username": "abc", "role": "viewer"},
        {"email": "no address", "role": "viewer"},
        {"username": "a b", "role": "viewer"},
        {"username": "abc", "role": "owner"},
    ]
    for body in wrong:
        got = await house.ask("POST", path, body, who=me)
        assert got.refused == (400, "VALIDATION_FAILED"), body
        assert got.body["details"][0]["message"]
    assert (await house.ask("POST", path, {"username": "nobody", "role": "viewer"}, who=me)).status == 404


async def test_limits_are_refused_by_name(house: House) -> None:
    me = house.studio.user()
    project = (await created(house, me, visibility="team"))["id"]
    answers = await asyncio.gather(*(house.ask("POST", "", NEW, who=me) for _ in range(20)))
    assert sorted(one.status for one in answers) == [201] * 9 + [409] * 11
    refused = next(one for one in answers if one.status == 409)
    assert (refused.body["code"], refused.body["limit"], refused.body["error"]) == (
        "PROJECT_LIMIT",
        10,
        "项目数量已达上限",
    )
    added = await asyncio.gather(
        *(house.ask("POST", f"/{project}/versions", {"content": {}}, who=me) for _ in range(20))
    )
    assert sorted(one.status for one in added) == [201] * 6 + [409] * 14
    assert house.studio.numbers(project) == [1, 2, 3, 4, 5, 6]


# -- generating


def wish(**more: Any) -> dict[str, Any]:
    return {"agentId": ECHO.id, "inputData": {"prompt": "回声"}, **more}


async def test_a_job_for_a_project_adds_a_version_whose_outputs_everyone_who_reads_it_can_open(house: House) -> None:
    owner, viewer = house.studio.user(credits=10), house.studio.user()
    project = (await created(house, owner, visibility="team"))["id"]
    house.studio.join(project, viewer=viewer)
    got = await house.ask("POST", GENERATE, wish(projectId=project, saveVersion=True), who=owner)
    assert got.status == 202
    job = got.body["jobId"]
    assert house.studio.complete(job)
    result = (await house.ask("GET", f"/api/jobs/{job}/result", who=owner)).body
    assert result["savedVersion"] == {"projectId": project, "number": 1, "reason": None, "message": None}
    for reader in (owner, viewer):
        version = (await house.ask("GET", f"/{project}/versions/1", who=reader)).body
        assert version["content"]["jobId"] == version["jobId"] == job
        (output,) = version["content"]["outputs"]
        assert (output["output"], output["type"], "text" in output) == (0, "text", False)
        assert version["preview"] == {"text": "松鼠", "kind": "text", "url": output["url"]}
        assert (await house.ask("GET", output["url"])).status == 200
    mine = (await house.ask("GET", f"/api/jobs?projectId={project}", who=owner)).body["jobs"]
    assert [(one["id"], one["projectId"]) for one in mine] == [(job, project)]
    # A member sees the version, and the jobs of others as little as anyone.
    assert (await house.ask("GET", f"/api/jobs?projectId={project}", who=viewer)).body["jobs"] == []
    assert (await house.ask("GET", f"/api/jobs/{job}", who=viewer)).status == 404


async def test_a_version_that_could_not_be_made_says_why_in_the_result(house: House) -> None:
    owner = house.studio.user(credits=10)
    project = (await created(house, owner))["id"]
    job = (await house.ask("POST", GENERATE, wish(projectId=project, saveVersion=True), who=owner)).body["jobId"]
    plain = (await house.ask("POST", GENERATE, wish(projectId=project), who=owner)).body["jobId"]
    await house.ask("DELETE", f"/{project}", who=owner)
    assert house.studio.complete(job)
    assert house.studio.complete(plain)
    result = (await house.ask("GET", f"/api/jobs/{job}/result", who=owner)).body
    assert result["savedVersion"] == {
        "projectId": project,
        "number": None,
        "reason": "PROJECT_NOT_FOUND",
        "message": "项目不存在",
    }
    assert (await house.ask("GET", f"/api/jobs/{plain}/result", who=owner)).body.keys() == {"outputs"}


async def test_a_content_that_only_looks_like_a_jobs_gets_no_links(house: House) -> None:
    owner, victim = house.studio.user(), house.studio.user(credits=1)
    theirs = (await house.ask("POST", GENERATE, wish(), who=victim)).body["jobId"]
    assert house.studio.jobs.complete(house.studio.jobs.claim_one(theirs))
    project = (await created(house, owner))["id"]
    forged = {"jobId": theirs, "agentId": ECHO.id, "kind": "text", "outputs": [{"output": 0, "type": "text"}]}
    await house.ask("POST", f"/{project}/versions", {"content": forged}, who=owner)
    version = (await house.ask("GET", f"/{project}/versions/1", who=owner)).body
    assert (version["content"], version["jobId"], version["preview"]["url"]) == (forged, None, None)


async def test_a_job_is_tried_again_for_the_same_project(house: House) -> None:
    owner, editor = house.studio.user(), house.studio.user(credits=10)
    project = (await created(house, owner, visibility="team"))["id"]
    house.studio.join(project, editor=editor)
    job = (await house.ask("POST", GENERATE, wish(projectId=project, saveVersion=True), who=editor)).body["jobId"]
    assert house.studio.jobs.fail(house.studio.jobs.claim_one(job))
    again = (await house.ask("POST", f"/api/jobs/{job}/retry", who=editor)).body["jobId"]
    assert house.studio.complete(again, versions_max=VERSIONS_MAX)
    assert house.studio.numbers(project) == [1]
    house.studio.remove(project, owner, editor)
    lost = await house.ask("POST", f"/api/jobs/{job}/retry", who=editor)
    assert lost.refused == (404, "PROJECT_NOT_FOUND")
    assert house.studio.jobs.balance(editor).available == 9


async def test_a_generation_for_what_one_may_not_write_to_is_refused(house: House) -> None:
    me, owner = house.studio.user(credits=5), house.studio.user()
    public = (await created(house, owner, visibility="public"))["id"]
    for project in (public, new_id()):
        got = await house.ask("POST", GENERATE, wish(projectId=project), who=me)
        assert got.refused == (404, "PROJECT_NOT_FOUND")
    needs = await house.ask("POST", GENERATE, wish(saveVersion=True), who=me)
    assert needs.body["details"][0]["path"] == ["saveVersion"]
    assert house.studio.jobs.balance(me).available == 5
