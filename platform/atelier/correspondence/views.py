"""A notification as JSON, in one language: the one shape of lists and events."""

from typing import Any

from atelier.accounts.preferences import Locale
from atelier.kernel import clock
from atelier.live.events import NOTIFICATION_CREATED, Event
from atelier.notifications import kinds
from atelier.notifications.kinds import KINDS
from atelier.notifications.queries import Item


def document(item: Item, *, locale: Locale) -> dict[str, Any]:
    """The notification."""
    told = kinds.told(item.kind, item.data, locale)
    return {
        "id": item.id,
        "kind": item.kind,
        "category": KINDS[item.kind].category,
        "title": told.title,
        "message": told.text,
        "data": dict(item.data),
        "refType": item.ref_type,
        "refId": item.ref_id,
        "read": item.read_ms is not None,
        "readAt": clock.rfc3339(item.read_ms),
        "createdAt": clock.rfc3339(item.created_ms),
    }


def event(item: Item, *, locale: Locale) -> Event:
    """The news that it was made."""
    data = document(item, locale=locale)
    return Event(type=NOTIFICATION_CREATED, job_id=None, seq=item.seq or 0, at_ms=item.created_ms, data=data)
