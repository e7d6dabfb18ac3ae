"""What the catalogue refuses."""

from typing import ClassVar

from atelier.kernel.errors import Conflict, Forbidden, NotFound


class AgentNotFound(NotFound):
    """There is no such agent, or this caller may not see it."""

    code: ClassVar[str] = "AGENT_NOT_FOUND"


class AgentChanged(Conflict):
    """It was changed or decided since the caller looked; `revision` is the present one."""

    code: ClassVar[str] = "AGENT_CHANGED"


class AgentArchived(Conflict):
    """An archived agent stays as it is."""

    code: ClassVar[str] = "AGENT_ARCHIVED"


class NotInReview(Conflict):
    """Nothing of this agent waits for a decision, or for being submitted."""

    code: ClassVar[str] = "NOT_IN_REVIEW"


class TooManyUnpublished(Conflict):
    """The user has `limit` unpublished agents already."""

    code: ClassVar[str] = "TOO_MANY_UNPUBLISHED"


class ReviewNotAllowed(Forbidden):
    """Only who has used or bought an agent may say what they think of it; its creator may not."""

    code: ClassVar[str] = "REVIEW_NOT_ALLOWED"


class CategoryNotFound(NotFound):
    """There is no such category."""

    code: ClassVar[str] = "CATEGORY_NOT_FOUND"


class CategoryExists(Conflict):
    """Another category has this slug."""

    code: ClassVar[str] = "CATEGORY_EXISTS"


class CategoryInUse(Conflict):
    """Agents are in it."""

    code: ClassVar[str] = "CATEGORY_IN_USE"
