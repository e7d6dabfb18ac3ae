"""Projects: what someone makes in the workshop, alone, with others, or for everyone to see."""

from functools import partial
from typing import Any

from pydantic_core import to_json
from sqlalchemy.orm import Session

from atelier.collaboration import projects
from atelier.contracts import idempotency
from atelier.contracts.idempotency import Keyed
from atelier.kernel import tokens
from atelier.kernel.ids import new_id
from atelier.workshop.projects import KEPT_MS, NewProject, bin_
from web import etags, outputs
from web.routing import REPLAYED, Call, Endpoint, Reply
from web.schemas.project_versions import Link
from web.schemas.projects import (
    DeletedAnswer,
    ProjectAnswer,
    ProjectBody,
    ProjectChangeBody,
    ProjectsAnswer,
    ProjectsQuery,
)


async def list_projects(call: Call) -> ProjectsAnswer:
    """The caller's projects, or those of others on which they work."""
    query: ProjectsQuery = call.query
    found, total = await call.services.db.read(
        projects.page,
        wanted=query.wanted(call.user.user_id),
        offset=query.offset,
        limit=query.limit,
        now_ms=call.now_ms,
    )
    return ProjectsAnswer.of(found, total=total, query=query, link=links(call))


async def create_project(call: Call) -> Reply:
    """Begin a project."""
    body: ProjectBody = call.body
    new = NewProject(
        id=new_id(),
        owner_id=call.user.user_id,
        title=body.title,
        description=body.description or None,
        type=body.type,
        visibility=body.visibility,
        config=body.config or {},
    )
    answer, is_new = await call.services.db.transact(
        _create, new=new, projects_max=_projects_max(call), keyed=call.keyed, link=links(call), now_ms=call.now_ms
    )
    headers = {"Location": f"/api/workshop/projects/{answer['id']}", **({} if is_new else REPLAYED)}
    return Reply(raw=to_json(answer), status=201, headers=headers)


async def read_project(call: Call) -> Reply:
    """One project; a public one also for who has not signed in."""
    reader_id = call.identity.user_id if call.identity else None
    shown = await call.services.db.read(projects.one, project_id=call.path["projectId"], user_id=reader_id)
    answer = ProjectAnswer.of(shown, link=links(call))
    reply = _tagged(answer, revision=shown.project.revision)
    etag = (reply.headers or {})["ETag"]
    return Reply(status=304, headers={"ETag": etag}) if call.unchanged(etag) else reply


async def change_project(call: Call) -> Reply:
    """Change what is named and leave the rest; with `If-Match` only while nobody has changed it meanwhile.

    A version that is added meanwhile is no such change.
    """
    body: ProjectChangeBody = call.body
    expected = etags.expected(call)
    shown = await call.services.db.transact(
        projects.change,
        project_id=call.path["projectId"],
        user_id=call.user.user_id,
        changes=body.changes,
        seen=None if expected is None else frozenset(tag.partition(".")[0] for tag in expected),
        now_ms=call.now_ms,
    )
    return _tagged(ProjectAnswer.of(shown, link=links(call)), revision=shown.project.revision)


async def delete_project(call: Call) -> DeletedAnswer:
    """Put the project into the bin, out of everyone's sight. Jobs that run for it complete and add nothing to it."""
    await call.services.db.transact(
        bin_, project_id=call.path["projectId"], user_id=call.user.user_id, now_ms=call.now_ms
    )
    return DeletedAnswer(restorable_until=call.now_ms + KEPT_MS)


async def restore_project(call: Call) -> ProjectAnswer:
    """Take the project out of the bin, within thirty days."""
    shown = await call.services.db.transact(
        projects.take_out,
        project_id=call.path["projectId"],
        user_id=call.user.user_id,
        projects_max=_projects_max(call),
        now_ms=call.now_ms,
    )
    return ProjectAnswer.of(shown, link=links(call))


def links(call: Call) -> Link:
    """What makes links to the outputs of jobs, for this call's answer."""
    return partial(outputs.link, keyring=call.services.settings.keyring, now_ms=call.now_ms)


def _projects_max(call: Call) -> int:
    return call.services.settings.projects_max


def _create(
    session: Session, *, new: NewProject, projects_max: int, keyed: Keyed | None, link: Link, now_ms: int
) -> tuple[Any, bool]:
    if stored := idempotency.find(session, keyed):
        return stored.answer, False
    shown = projects.create(session, new=new, projects_max=projects_max, now_ms=now_ms)
    answer = ProjectAnswer.of(shown, link=link).model_dump(mode="json")
    idempotency.store(session, keyed, status=201, answer=answer, now_ms=now_ms)
    return answer, True


def _tagged(answer: ProjectAnswer, *, revision: int) -> Reply:
    """The tag begins with the revision of what can be changed, and stands for everything that is shown."""
    raw = to_json(answer)
    tag = f"{revision}.{tokens.digest(raw.decode())[:24]}"
    return Reply(raw=raw, headers={"ETag": etags.quoted(tag)})


_project = partial(Endpoint, tag="workshop")
_one = partial(_project, path="/api/workshop/projects/{projectId}")

ENDPOINTS = (
    _project(
        method="GET",
        path="/api/workshop/projects",
        handler=list_projects,
        scope="projects:read",
        summary=("项目列表", "List projects"),
        query=ProjectsQuery,
        answer=ProjectsAnswer,
    ),
    _project(
        method="POST",
        path="/api/workshop/projects",
        handler=create_project,
        scope="projects:write",
        summary=("创建项目", "Create a project"),
        body=ProjectBody,
        answer=ProjectAnswer,
        status=201,
        gives=("Location",),
        errors=("PROJECT_LIMIT",),
        idempotent=True,
    ),
    _one(
        method="GET",
        handler=read_project,
        scope="projects:read",
        summary=("查看项目", "Read a project"),
        auth="optional",
        answer=ProjectAnswer,
        also={304: None},
        errors=("PROJECT_NOT_FOUND",),
    ),
    _one(
        method="PUT",
        handler=change_project,
        scope="projects:write",
        summary=("修改项目", "Change a project"),
        body=ProjectChangeBody,
        answer=ProjectAnswer,
        errors=("PROJECT_NOT_FOUND", "PRECONDITION_FAILED"),
    ),
    _one(
        method="DELETE",
        handler=delete_project,
        scope="projects:write",
        summary=("删除项目", "Delete a project"),
        answer=DeletedAnswer,
        errors=("PROJECT_NOT_FOUND",),
    ),
    _project(
        method="POST",
        path="/api/workshop/projects/{projectId}/restore",
        handler=restore_project,
        scope="projects:write",
        summary=("恢复项目", "Restore a deleted project"),
        answer=ProjectAnswer,
        errors=("PROJECT_NOT_FOUND", "PROJECT_LIMIT"),
    ),
)
