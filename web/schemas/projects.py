"""Projects on the wire."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, cast

from pydantic import ConfigDict, Field

from atelier.collaboration.people import Person
from atelier.collaboration.projects import Shown
from atelier.workshop.models import DESCRIPTION_MAX, TITLE_MAX
from atelier.workshop.projects import Changes
from atelier.workshop.queries import Filter
from web.schemas.model import Answer, Body, JsonObject, Line, PageQuery, Pagination, QueryFlag, Timestamp
from web.schemas.project_versions import Link, VersionSummary
from web.schemas.sizes import at_most
from web.schemas.texts import Text

CONFIG_BYTES_MAX = 8 * 1024
Config = Annotated[JsonObject, at_most(CONFIG_BYTES_MAX)]
Type = Literal["text", "image", "video", "audio", "mixed"]
Status = Literal["draft", "active", "completed", "archived"]
Visibility = Literal["private", "team", "public"]
Role = Literal["owner", "editor", "viewer"]


class ProjectBody(Body):
    """A new project, which begins as a draft."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"title": "江南四季", "type": "mixed", "description": "一组图文"}]}
    )

    title: Line = Field(min_length=1, max_length=TITLE_MAX)
    description: Text | None = Field(None, max_length=DESCRIPTION_MAX)
    type: Type
    visibility: Visibility = "private"
    config: Config | None = Field(None, description="anything that the front end wants to keep, 8 kB at most")


class ProjectChangeBody(Body):
    """What is left out stays as it is; so does what is null, but for the description, which null empties."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "江南四季", "status": "active"}]})

    title: Line | None = Field(None, min_length=1, max_length=TITLE_MAX)
    description: Text | None = Field(None, max_length=DESCRIPTION_MAX)
    type: Type | None = None
    status: Status | None = None
    visibility: Visibility | None = Field(None, description="the owner decides it")
    config: Config | None = None

    @property
    def changes(self) -> Changes:
        """What the workshop changes."""
        given = self.model_dump(exclude_unset=True)
        return cast("Changes", {name: value for name, value in given.items() if value is not None} | _emptied(given))


def _emptied(given: dict[str, Any]) -> dict[str, Any]:
    return {"description": given["description"] or None} if "description" in given else {}


class ProjectsQuery(PageQuery):
    """Which projects; own ones, unless others' are asked for."""

    status: Status | None = None
    type: Type | None = None
    shared: QueryFlag = Field(False, description="others' projects that the caller works on")
    role: Literal["editor", "viewer"] | None = Field(None, description="others' projects where this is the role")
    deleted: QueryFlag = Field(False, description="own projects that can still be restored")

    def wanted(self, user_id: str) -> Filter:
        """What the workshop looks for."""
        return Filter(
            user_id=user_id,
            status=self.status,
            type=self.type,
            shared=self.shared,
            role=self.role,
            binned=self.deleted,
        )


class MakerAnswer(Answer):
    """Someone who makes the project."""

    id: str
    username: str
    display_name: str
    avatar_url: str | None

    @classmethod
    def of(cls, person: Person) -> Self:
        """The person as everyone may see them."""
        return cls(
            id=person.id,
            username=person.username,
            display_name=person.display_name,
            avatar_url=person.avatar_url,
        )


class VersionCount(Answer):
    """How many there are."""

    versions: int


class ProjectAnswer(Answer):
    """A project. `versions` holds the current version only, if there is one; `_count` tells of all."""

    id: str
    user_id: str = Field(description="the owner's")
    title: str
    description: str | None
    type: Type
    status: Status
    visibility: Visibility
    config: dict[str, Any]
    role: Role | None = Field(description="the caller's; null for someone who reads a public project")
    owner: MakerAnswer
    versions: list[VersionSummary]
    count: VersionCount = Field(alias="_count")
    created_at: Timestamp
    updated_at: Timestamp
    deleted_at: Timestamp | None

    @classmethod
    def of(cls, shown: Shown, *, link: Link) -> Self:
        """The project as it is shown."""
        project, current = shown.project, shown.current
        same = ("id", "title", "description", "type", "status", "visibility", "config", "role")
        return cls.model_validate(
            {
                **{name: getattr(project, name) for name in same},
                "user_id": project.owner_id,
                "owner": MakerAnswer.of(shown.owner),
                "versions": [VersionSummary.of(current, is_current=True, link=link)] if current else [],
                "count": VersionCount(versions=project.versions),
                "created_at": project.created_ms,
                "updated_at": project.updated_ms,
                "deleted_at": project.deleted_ms,
            }
        )


class ProjectsAnswer(Answer):
    """A page of projects, those first that changed last."""

    projects: list[ProjectAnswer]
    pagination: Pagination

    @classmethod
    def of(cls, found: Sequence[Shown], *, total: int, query: PageQuery, link: Link) -> Self:
        """The answer to `query`."""
        projects = [ProjectAnswer.of(one, link=link) for one in found]
        return cls(projects=projects, pagination=Pagination.of(query, total=total))


class DeletedAnswer(Answer):
    """The project is in the bin."""

    success: Literal[True] = True
    restorable_until: Timestamp
