"""What users say about themselves."""

from typing import TypedDict

from pydantic_core import to_json
from sqlalchemy import update
from sqlalchemy.orm import Session

from atelier.accounts import queries, rules
from atelier.accounts.errors import Outdated, UserNotFound
from atelier.accounts.models import User
from atelier.contracts import oplog
from atelier.kernel import tokens
from atelier.kernel.database import matched


class ProfileChanges(TypedDict, total=False):
    """The fields that a user may change, cleaned by `rules`. A missing one stays; None empties it."""

    display_name: str
    bio: str | None
    avatar_url: str | None


def cleaned(typed: ProfileChanges) -> ProfileChanges:
    """The changes without control and direction characters. Raises Invalid."""
    changes = ProfileChanges(**typed)
    if "display_name" in changes:
        changes["display_name"] = rules.display_name(changes["display_name"])
    if (bio := changes.get("bio")) is not None:
        changes["bio"] = rules.bio(bio)
    if (url := changes.get("avatar_url")) is not None:
        changes["avatar_url"] = rules.avatar_url(url)
    return changes


def etag(profile: queries.Profile) -> str:
    """Names this very version of what its owner can change."""
    return tokens.digest(to_json([profile.display_name, profile.bio, profile.avatar_url]).decode())[:32]


def change(
    session: Session, *, user_id: str, changes: ProfileChanges, seen: frozenset[str] | None = None, now_ms: int
) -> queries.Profile:
    """Store cleaned changes and answer the profile. With `seen`, only while one of these is the profile's etag.

    The log names the fields only. Raises UserNotFound and Outdated.
    """
    values = dict(changes)
    if not values and seen is None:
        return queries.profile(session, user_id=user_id)
    # The row is locked before it is read, so that nobody changes it in between.
    if not matched(session, update(User).where(User.id == user_id).values(updated_ms=now_ms)):
        raise UserNotFound
    if seen is not None and etag(queries.profile(session, user_id=user_id)) not in seen:
        raise Outdated
    if values:
        session.execute(update(User).where(User.id == user_id).values(**values))
        _log(session, user_id=user_id, fields=sorted(values), now_ms=now_ms)
    return queries.profile(session, user_id=user_id)


def _log(session: Session, *, user_id: str, fields: list[str], now_ms: int) -> None:
    operation = oplog.Operation(
        action="USER_UPDATE_PROFILE",
        user_id=user_id,
        resource_type="user",
        resource_id=user_id,
        details={"fields": fields},
    )
    oplog.record(session, operation, now_ms=now_ms)
