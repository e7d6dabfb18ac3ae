"""Notifications on the wire."""

from typing import Any, Literal, Self

from pydantic import Field

from atelier.correspondence import views
from atelier.notifications.queries import Page
from web.messages import Locale
from web.schemas.auth import DoneAnswer
from web.schemas.model import Answer, PageQuery, Pagination, Query, QueryFlag, Uuid

TOKEN_CHARS_MAX = 200


class NotificationsQuery(PageQuery):
    """Which notifications: newest first, those after the one that `cursor` names; `page` counts from there."""

    cursor: Uuid | None = Field(None, description="the `nextCursor` of the answer before")
    unread: QueryFlag = Field(False, description="true: only those that were not read yet")


class UnsubscribeQuery(Query):
    """From what an e-mail's link leads to."""

    token: str = Field(min_length=1, max_length=TOKEN_CHARS_MAX, pattern=r"^[A-Za-z0-9._-]*$", repr=False)


class NotificationAnswer(Answer):
    """One notification. `title` and `message` are in the reader's language; `data` is what they are made of."""

    id: Uuid
    kind: str
    category: Literal["agents", "sales", "reviews", "projects", "subscriptions", "account"]
    title: str
    message: str
    data: dict[str, Any]
    ref_type: str | None = Field(description="what `refId` is: agent, project, user, …")
    ref_id: str | None
    read: bool
    read_at: str | None = Field(json_schema_extra={"format": "date-time"})
    created_at: str = Field(json_schema_extra={"format": "date-time"})


class NotificationsAnswer(Answer):
    """A page of them. `unreadCount` counts all of the user's, whatever was asked for."""

    notifications: list[NotificationAnswer]
    unread_count: int
    next_cursor: Uuid | None = Field(description="null at the end")
    pagination: Pagination

    @classmethod
    def of(cls, page: Page, *, query: NotificationsQuery, locale: Locale) -> Self:
        """The page in one language."""
        shown = [NotificationAnswer.model_validate(views.document(item, locale=locale)) for item in page.items]
        more = query.offset + len(page.items) < page.total
        return cls(
            notifications=shown,
            unread_count=page.unread,
            next_cursor=page.items[-1].id if page.items and more else None,
            pagination=Pagination.of(query, total=page.total),
        )


class ReadAllAnswer(DoneAnswer):
    """How many were unread."""

    count: int
