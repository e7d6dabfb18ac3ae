"""Versions of projects on the wire."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field

from atelier.workshop.access import Project
from atelier.workshop.models import NOTE_MAX
from atelier.workshop.versions import NewVersion, Version
from web.schemas.model import Answer, Body, JsonObject, Line, PageQuery, Pagination, Timestamp
from web.schemas.sizes import at_most

CONTENT_BYTES_MAX = 256 * 1024
VERSION_BODY_MAX = 384 * 1024
Content = Annotated[JsonObject, at_most(CONTENT_BYTES_MAX)]

Link = Callable[[str, int], str]
"""A link that anyone may follow for a while, to one output of a job."""


class VersionBody(Body):
    """What to keep as a version: any JSON object of at most 256 kB."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"content": {"title": "清晨", "text": "江南水乡的清晨"}, "note": "第一稿"}]}
    )

    content: Content
    note: Line | None = Field(None, max_length=NOTE_MAX)
    set_current: bool = Field(True, description="the first version is the current one in any case")

    def new(self, version_id: str) -> NewVersion:
        """What the workshop adds."""
        return NewVersion(id=version_id, content=self.content, note=self.note or None, set_current=self.set_current)


class PreviewAnswer(Answer):
    """What a list may show of a version."""

    text: str | None = Field(description="the beginning of its first text")
    kind: str | None = Field(description="text, image, audio or video, when a job made it")
    url: str | None = Field(description="the first output of the job that made it; holds for a while")


class VersionSummary(Answer):
    """A version without its content."""

    id: str
    project_id: str
    number: int
    note: str | None
    is_current: bool
    author_id: str
    job_id: str | None = Field(description="the job that made it")
    preview: PreviewAnswer
    size: int = Field(description="bytes of its content as JSON")
    created_at: Timestamp

    @classmethod
    def of(cls, version: Version, *, is_current: bool, link: Link) -> Self:
        """The version as a list shows it."""
        return cls(**_members(version, is_current=is_current, link=link))


class VersionAnswer(VersionSummary):
    """A version. What a job made is referred to in `content.outputs`, each with a `url` that holds for a while."""

    content: dict[str, Any]

    @classmethod
    def whole(cls, version: Version, content: dict[str, Any], *, is_current: bool, link: Link) -> Self:
        """The version with its content."""
        shown = content if version.job_id is None else _linked(content, version.job_id, link)
        return cls(**_members(version, is_current=is_current, link=link), content=shown)


class VersionsAnswer(Answer):
    """A page of a project's versions, newest first."""

    versions: list[VersionSummary]
    pagination: Pagination

    @classmethod
    def of(cls, project: Project, found: Sequence[Version], *, query: PageQuery, link: Link) -> Self:
        """The answer to `query`."""
        versions = [VersionSummary.of(one, is_current=one.number == project.current_number, link=link) for one in found]
        return cls(versions=versions, pagination=Pagination.of(query, total=project.versions))


def _members(version: Version, *, is_current: bool, link: Link) -> dict[str, Any]:
    url = link(version.job_id, 0) if version.job_id else None
    return {
        "id": version.id,
        "project_id": version.project_id,
        "number": version.number,
        "note": version.note,
        "is_current": is_current,
        "author_id": version.author_id,
        "job_id": version.job_id,
        "preview": PreviewAnswer(text=version.preview, kind=version.kind, url=url),
        "size": version.size,
        "created_at": version.created_ms,
    }


def _linked(content: dict[str, Any], job_id: str, link: Link) -> dict[str, Any]:
    """What a job made, with links: a version that it made was written by us, so its shape is known."""
    outputs: list[dict[str, Any]] = content["outputs"]
    return content | {"outputs": [one | {"url": link(job_id, one["output"])} for one in outputs]}
