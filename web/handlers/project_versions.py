"""Versions of projects."""

from functools import partial
from typing import Any

from pydantic_core import to_json
from sqlalchemy.orm import Session

from atelier.collaboration import adding, projects
from atelier.contracts import idempotency
from atelier.contracts.idempotency import Keyed
from atelier.kernel.ids import new_id
from atelier.workshop import versions
from atelier.workshop.errors import VersionNotFound
from atelier.workshop.versions import NewVersion
from web import etags
from web.handlers.projects import links
from web.routing import REPLAYED, Call, Endpoint, Reply
from web.schemas.model import PageQuery
from web.schemas.project_versions import (
    VERSION_BODY_MAX,
    Link,
    VersionAnswer,
    VersionBody,
    VersionsAnswer,
    VersionSummary,
)

NUMBER_DIGITS_MAX = 9


async def list_versions(call: Call) -> VersionsAnswer:
    """The versions, newest first, without their content."""
    query: PageQuery = call.query
    project, found = await call.services.db.read(
        projects.versions_page,
        project_id=call.path["projectId"],
        user_id=_reader_id(call),
        offset=query.offset,
        limit=query.limit,
    )
    return VersionsAnswer.of(project, found, query=query, link=links(call))


async def add_version(call: Call) -> Reply:
    """Keep something as the next version."""
    body: VersionBody = call.body
    answer, is_new = await call.services.db.transact(
        _add,
        new=body.new(new_id()),
        project_id=call.path["projectId"],
        user_id=call.user.user_id,
        versions_max=call.services.settings.project_versions_max,
        keyed=call.keyed,
        link=links(call),
        now_ms=call.now_ms,
    )
    location = f"/api/workshop/projects/{call.path['projectId']}/versions/{answer['number']}"
    return Reply(raw=to_json(answer), status=201, headers={"Location": location, **({} if is_new else REPLAYED)})


async def read_version(call: Call) -> Reply:
    """One version with its content."""
    project, found, content = await call.services.db.read(
        projects.version, project_id=call.path["projectId"], user_id=_reader_id(call), number=_number(call)
    )
    is_current = found.number == project.current_number
    return etags.tagged(call, VersionAnswer.whole(found, content, is_current=is_current, link=links(call)))


async def restore_version(call: Call) -> VersionSummary:
    """Make an earlier version the current one again: nothing is copied, and no version is lost."""
    restored = await call.services.db.transact(
        versions.restore,
        project_id=call.path["projectId"],
        user_id=call.user.user_id,
        number=_number(call),
        now_ms=call.now_ms,
    )
    return VersionSummary.of(restored, is_current=True, link=links(call))


def _reader_id(call: Call) -> str | None:
    return call.identity.user_id if call.identity else None


def _number(call: Call) -> int:
    text = call.path["version"]
    if not (text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS_MAX):
        raise VersionNotFound(text)
    return int(text)


def _add(
    session: Session,
    *,
    new: NewVersion,
    project_id: str,
    user_id: str,
    versions_max: int,
    keyed: Keyed | None,
    link: Link,
    now_ms: int,
) -> tuple[Any, bool]:
    if stored := idempotency.find(session, keyed):
        return stored.answer, False
    current, added = adding.add(
        session, new, project_id=project_id, user_id=user_id, versions_max=versions_max, now_ms=now_ms
    )
    answer = VersionSummary.of(added, is_current=added.number == current, link=link).model_dump(mode="json")
    idempotency.store(session, keyed, status=201, answer=answer, now_ms=now_ms)
    return answer, True


_versions = partial(Endpoint, tag="workshop", path="/api/workshop/projects/{projectId}/versions")
_one = partial(Endpoint, tag="workshop", path="/api/workshop/projects/{projectId}/versions/{version}")

ENDPOINTS = (
    _versions(
        method="GET",
        handler=list_versions,
        scope="projects:read",
        summary=("版本列表", "List versions"),
        auth="optional",
        query=PageQuery,
        answer=VersionsAnswer,
        errors=("PROJECT_NOT_FOUND",),
    ),
    _versions(
        method="POST",
        handler=add_version,
        scope="projects:write",
        summary=("添加版本", "Add a version"),
        body=VersionBody,
        body_max=VERSION_BODY_MAX,
        answer=VersionSummary,
        status=201,
        gives=("Location",),
        errors=("PROJECT_NOT_FOUND", "VERSION_LIMIT"),
        idempotent=True,
    ),
    _one(
        method="GET",
        handler=read_version,
        scope="projects:read",
        summary=("查看版本", "Read a version"),
        auth="optional",
        answer=VersionAnswer,
        also={304: None},
        errors=("PROJECT_NOT_FOUND", "NOT_FOUND"),
    ),
    Endpoint(
        method="POST",
        path="/api/workshop/projects/{projectId}/versions/{version}/restore",
        handler=restore_version,
        scope="projects:write",
        summary=("恢复版本", "Restore a version"),
        tag="workshop",
        answer=VersionSummary,
        errors=("PROJECT_NOT_FOUND", "NOT_FOUND"),
    ),
)
