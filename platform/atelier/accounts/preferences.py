"""What a user prefers: one typed document, whatever is stored, with the default of everything that was never chosen.

Only what was chosen is stored, so a default may change for those who never cared.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypedDict, cast

from pydantic_core import to_json
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from atelier.accounts.errors import Outdated, UserNotFound
from atelier.accounts.models import User
from atelier.contracts import oplog
from atelier.kernel import tokens
from atelier.kernel.database import matched

Locale = Literal["zh", "en"]
Theme = Literal["system", "light", "dark"]
LOCALES: Final[tuple[Locale, ...]] = ("zh", "en")
THEMES: Final[tuple[Theme, ...]] = ("system", "light", "dark")


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """Whether notifications of one category are mailed, and told to open windows."""

    email: bool = True
    live: bool = True


DEFAULTS: Mapping[str, Switches] = {
    "agents": Switches(),
    "sales": Switches(email=False),
    "reviews": Switches(email=False),
    "projects": Switches(),
    "subscriptions": Switches(),
    "account": Switches(),
}
"""Every category. What happens often is not mailed unless someone asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """The whole document; `notifications` has every category."""

    locale: Locale
    theme: Theme
    notifications: Mapping[str, Switches]


class SwitchChanges(TypedDict, total=False):
    """What is missing stays."""

    email: bool
    live: bool


class Changes(TypedDict, total=False):
    """What is missing stays, on every level."""

    locale: Locale
    theme: Theme
    notifications: Mapping[str, SwitchChanges]


def of(stored: Mapping[str, Any]) -> Preferences:
    """The preferences that a stored document means. What is none of them, or not of their type, is passed over."""
    locale, theme, switched = stored.get("locale"), stored.get("theme"), _mapping(stored.get("notifications"))
    return Preferences(
        locale=locale if locale in LOCALES else LOCALES[0],
        theme=theme if theme in THEMES else THEMES[0],
        notifications={
            name: Switches(**_switches(default) | _chosen(_mapping(switched.get(name))))
            for name, default in DEFAULTS.items()
        },
    )


def etag(preferences: Preferences) -> str:
    """Names this very document."""
    switches = {name: _switches(one) for name, one in preferences.notifications.items()}
    return tokens.digest(to_json([preferences.locale, preferences.theme, switches]).decode())[:32]


def merged(stored: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
    """What to store instead: what was chosen before and now, beside whatever else is stored."""
    kept = {name: _chosen(_mapping(one)) for name, one in _mapping(stored.get("notifications")).items()}
    for name, switches in changes.get("notifications", {}).items():
        kept[name] = kept.get(name, {}) | _chosen(switches)
    return {**stored, **changes, "notifications": {name: kept[name] for name in DEFAULTS if kept.get(name)}}


def read(session: Session, *, user_id: str) -> Preferences:
    """Raises UserNotFound."""
    stored = session.execute(select(User.settings).where(User.id == user_id)).scalar_one_or_none()
    if stored is None:
        raise UserNotFound
    return of(stored)


def change(
    session: Session, *, user_id: str, changes: Changes, seen: frozenset[str] | None = None, now_ms: int
) -> Preferences:
    """Store the changes and answer the whole document. With `seen`, only while one of these is the document's etag.

    Raises UserNotFound and Outdated.
    """
    # The row is locked before it is read, so that of two changes at once none is lost.
    if not matched(session, update(User).where(User.id == user_id).values(updated_ms=now_ms)):
        raise UserNotFound
    stored: dict[str, Any] = session.execute(select(User.settings).where(User.id == user_id)).scalar_one()
    before, chosen = of(stored), merged(stored, changes)
    if seen is not None and etag(before) not in seen:
        raise Outdated
    if chosen != stored:
        session.execute(update(User).where(User.id == user_id).values(settings=chosen))
    after = of(chosen)
    if after != before:
        _log(session, user_id=user_id, fields=sorted(changes), now_ms=now_ms)
    return after


def _log(session: Session, *, user_id: str, fields: list[str], now_ms: int) -> None:
    operation = oplog.Operation(
        action="USER_UPDATE_SETTINGS",
        user_id=user_id,
        resource_type="user",
        resource_id=user_id,
        details={"fields": fields},
    )
    oplog.record(session, operation, now_ms=now_ms)


def _switches(switches: Switches) -> dict[str, bool]:
    return {"email": switches.email, "live": switches.live}


def _chosen(stored: Mapping[str, Any]) -> dict[str, bool]:
    return {name: stored[name] for name in ("email", "live") if isinstance(stored.get(name), bool)}


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}
