"""What projects refuse."""

from typing import ClassVar

from atelier.kernel.errors import Conflict, NotFound, Refusal


class ProjectNotFound(NotFound):
    """There is no such project, or the user may not know of it; for a generation also: may not write to it."""

    code: ClassVar[str] = "PROJECT_NOT_FOUND"


class VersionNotFound(NotFound):
    """The project has no version of this number."""


class InvitationNotFound(NotFound):
    """There is no open invitation for the user, or none of this id."""


class Outdated(Refusal):
    """The project has changed since the caller read it, so the change was made against another one."""

    code: ClassVar[str] = "PRECONDITION_FAILED"


class TooManyProjects(Conflict):
    """The user has as many projects as are allowed."""

    code: ClassVar[str] = "PROJECT_LIMIT"


class TooManyVersions(Conflict):
    """The project has as many versions as are allowed."""

    code: ClassVar[str] = "VERSION_LIMIT"


class TooManyMembers(Conflict):
    """As many people as are allowed work on the project, or were invited to it."""

    code: ClassVar[str] = "MEMBER_LIMIT"


class ProjectPrivate(Conflict):
    """A private project is its owner's alone: nobody can be invited to it."""

    code: ClassVar[str] = "PROJECT_PRIVATE"


class AlreadyMember(Conflict):
    """The invited works on the project already."""

    code: ClassVar[str] = "ALREADY_MEMBER"
