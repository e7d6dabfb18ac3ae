"""A user's endpoints: addresses that hear of all of their jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from atelier.kernel.database import matched
from atelier.webhooks import keeping, states
from atelier.webhooks.errors import TooManyWebhooks, WebhookNotFound
from atelier.webhooks.models import ENDPOINTS, EVENTS
from atelier.webhooks.signing import Sealed

W = ENDPOINTS.c
E = EVENTS.c
ALL = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An endpoint as its user sees it. `events` empty means all."""

    id: str
    user_id: str
    url: str
    events: tuple[str, ...]
    description: str | None
    enabled: bool
    disabled_reason: str | None
    failures: int
    created_ms: int
    changed_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWebhook:
    """What an endpoint is born with; `url` is in its plain form."""

    id: str
    user_id: str
    url: str
    events: Sequence[str] = ALL
    description: str | None = None
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is to be different; None leaves things as they are, an empty description takes it away."""

    url: str | None = None
    events: Sequence[str] | None = None
    description: str | None = None
    enabled: bool | None = None


def joined(events: Sequence[str]) -> str:
    """The types as they are kept: in one order, once each."""
    return " ".join(one for one in states.TYPES if one in events)


def split(events: str) -> tuple[str, ...]:
    """The types that were kept."""
    return tuple(events.split())


def create(session: Session, new: NewWebhook, *, sealed: Sealed, endpoints_max: int, now_ms: int) -> Webhook:
    """Add an endpoint with its secret. Raises TooManyWebhooks."""
    # Of two that are made at once, both may count the same: one or two too many do no harm.
    counted = select(func.count()).where(W.user_id == new.user_id, W.deleted_ms.is_(None))
    if session.connection().execute(counted).scalar_one() >= endpoints_max:
        raise TooManyWebhooks(limit=endpoints_max)
    row = {
        "id": new.id,
        "user_id": new.user_id,
        "url": new.url,
        "events": joined(new.events),
        "description": new.description or None,
        "enabled": int(new.enabled),
        "created_ms": now_ms,
        "changed_ms": now_ms,
    }
    session.connection().execute(insert(ENDPOINTS).values(row))
    keeping.keep(session, owner_id=new.id, user_id=new.user_id, sealed=sealed, now_ms=now_ms)
    return own(session, webhook_id=new.id, user_id=new.user_id)


def own(session: Session, *, webhook_id: str, user_id: str) -> Webhook:
    """One of the user's endpoints. Raises WebhookNotFound."""
    mine = (W.id == webhook_id, W.user_id == user_id, W.deleted_ms.is_(None))
    row = session.connection().execute(select(ENDPOINTS).where(*mine)).mappings().one_or_none()
    if row is None:
        raise WebhookNotFound(webhook_id)
    return _webhook(row)


def page(session: Session, *, user_id: str, offset: int, limit: int) -> tuple[list[Webhook], int]:
    """A page of a user's endpoints, the newest first, and how many there are."""
    mine = (W.user_id == user_id, W.deleted_ms.is_(None))
    total = session.connection().execute(select(func.count()).select_from(ENDPOINTS).where(*mine)).scalar_one()
    rows = session.connection().execute(
        select(ENDPOINTS).where(*mine).order_by(W.id.desc()).offset(offset).limit(limit)
    )
    return [_webhook(row) for row in rows.mappings()], total


def change(session: Session, *, webhook_id: str, user_id: str, changes: Changes, now_ms: int) -> Webhook:
    """Change an endpoint. Who turns it on starts anew; who turns it off gives up what waits. Raises WebhookNotFound."""
    values: dict[str, Any] = {"changed_ms": now_ms}
    if changes.url is not None:
        values["url"] = changes.url
    if changes.events is not None:
        values["events"] = joined(changes.events)
    if changes.description is not None:
        values["description"] = changes.description or None
    if changes.enabled is not None:
        values |= {"enabled": int(changes.enabled), "disabled_reason": None, "failures": 0}
    mine = (W.id == webhook_id, W.user_id == user_id, W.deleted_ms.is_(None))
    if not matched(session, update(ENDPOINTS).where(*mine).values(values)):
        raise WebhookNotFound(webhook_id)
    if changes.enabled is False:
        give_up(session, target_id=webhook_id, now_ms=now_ms)
    return own(session, webhook_id=webhook_id, user_id=user_id)


def remove(session: Session, *, webhook_id: str, user_id: str, now_ms: int) -> None:
    """Delete an endpoint and its secret; what was told to it stays in the log for its time. Raises WebhookNotFound."""
    mine = (W.id == webhook_id, W.user_id == user_id, W.deleted_ms.is_(None))
    gone = {"enabled": 0, "disabled_reason": None, "deleted_ms": now_ms, "changed_ms": now_ms}
    if not matched(session, update(ENDPOINTS).where(*mine).values(gone)):
        raise WebhookNotFound(webhook_id)
    keeping.forget(session, owner_id=webhook_id)
    give_up(session, target_id=webhook_id, now_ms=now_ms)


def succeeded(session: Session, *, webhook_id: str) -> None:
    """It took something: failures are counted from nothing again."""
    session.connection().execute(update(ENDPOINTS).where(W.id == webhook_id, W.failures > 0).values(failures=0))


def failed(session: Session, *, webhook_id: str, gone: bool, now_ms: int) -> str | None:
    """It did not take something. The reason, when it is turned off for this: gone, or failing."""
    session.connection().execute(
        update(ENDPOINTS).where(W.id == webhook_id, W.enabled == 1).values(failures=W.failures + 1)
    )
    reason = states.GONE if gone else states.FAILING
    off = update(ENDPOINTS).where(W.id == webhook_id, W.enabled == 1)
    if not gone:
        off = off.where(W.failures >= states.FAILURES_MAX)
    if not matched(session, off.values(enabled=0, disabled_reason=reason, changed_ms=now_ms)):
        return None
    give_up(session, target_id=webhook_id, now_ms=now_ms)
    return reason


def give_up(session: Session, *, target_id: str, now_ms: int) -> None:
    """End whatever waits for an endpoint that is off; its user may have each told again."""
    session.connection().execute(
        update(EVENTS)
        .where(E.target_id == target_id, E.state == states.WAITING)
        .values(state=states.FAILED, error=states.ENDPOINT_DISABLED, due_ms=None, wake_ms=None, ended_ms=now_ms)
    )


def _webhook(row: Any) -> Webhook:
    return Webhook(
        id=row["id"],
        user_id=row["user_id"],
        url=row["url"],
        events=split(row["events"]),
        description=row["description"],
        enabled=bool(row["enabled"]),
        disabled_reason=row["disabled_reason"],
        failures=row["failures"],
        created_ms=row["created_ms"],
        changed_ms=row["changed_ms"],
    )
