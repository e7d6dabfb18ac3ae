"""Pictures of people: the files of a user that their profile shows, one at a time."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from atelier.accounts import profiles, rules
from atelier.accounts import queries as accounts
from atelier.accounts.profiles import ProfileChanges
from atelier.contracts import idempotency
from atelier.contracts.idempotency import Keyed
from atelier.files import models, names, queries, service
from atelier.files.service import NewFile, Quota


def set_avatar(
    session: Session, new: NewFile, *, quota: Quota | None, keyed: Keyed | None, now_ms: int
) -> tuple[Mapping[str, Any], bool]:
    """Show this picture in its owner's profile, and remove the one before; the answer, and whether it is a replay.

    An avatar replaces another one, so it counts against no quota. Raises UserNotFound and IdempotencyKeyReused.
    """
    if stored := idempotency.find(session, keyed):
        return stored.answer, True
    file, _ = service.add(session, new, quota=quota, keyed=None, now_ms=now_ms)
    url = names.url(new.id)
    profiles.change(session, user_id=new.owner_id, changes=ProfileChanges(avatar_url=url), now_ms=now_ms)
    service.retire_avatars(session, owner_id=new.owner_id, but=new.id, now_ms=now_ms)
    answer = {"avatarUrl": url, "file": file}
    idempotency.store(session, keyed, status=200, answer=answer, now_ms=now_ms)
    return answer, False


def change_profile(
    session: Session, *, user_id: str, changes: ProfileChanges, seen: frozenset[str] | None = None, now_ms: int
) -> accounts.Profile:
    """Store cleaned changes. One of our own files may be shown only if it is the user's, and public.

    An avatar that is shown no longer is removed. Raises Invalid, UserNotFound and Outdated.
    """
    file_id = names.own_id(changes.get("avatar_url"))
    if file_id and not queries.is_own_public(session, file_id=file_id, user_id=user_id):
        raise rules.invalid("avatarUrl", "url", "an https:// address or a public file of your own")
    profile = profiles.change(session, user_id=user_id, changes=changes, seen=seen, now_ms=now_ms)
    if "avatar_url" in changes:
        service.retire_avatars(session, owner_id=user_id, but=file_id, now_ms=now_ms)
    return profile


def delete_file(session: Session, *, file_id: str, user_id: str, now_ms: int) -> None:
    """Delete one of the user's files; an avatar disappears from the profile with it.

    Raises FileNotFound and FileInUse.
    """
    kind = service.remove(session, file_id=file_id, owner_id=user_id, now_ms=now_ms)
    if kind != models.AVATAR:
        return
    if accounts.profile(session, user_id=user_id).avatar_url == names.url(file_id):
        profiles.change(session, user_id=user_id, changes=ProfileChanges(avatar_url=None), now_ms=now_ms)
