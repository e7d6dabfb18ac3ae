"""Users: what everyone may know of them, and what they say and prefer themselves."""

from functools import partial
from typing import cast

from atelier.accounts import preferences
from atelier.accounts.preferences import Changes
from atelier.kernel.errors import NotFound
from atelier.marketplace import creators
from web import etags, profiles
from web.routing import Call, Endpoint, Reply
from web.schemas.auth import ChangedProfileAnswer, ProfileAnswer, ProfileBody
from web.schemas.settings import SettingsAnswer, SettingsBody
from web.schemas.users import PublicProfileAnswer


async def read_settings(call: Call) -> Reply:
    """All preferences, with the defaults of what was never chosen."""
    found = await call.services.db.read(preferences.read, user_id=call.user.user_id)
    headers = {"ETag": etags.quoted(preferences.etag(found))}
    if call.unchanged(headers["ETag"]):
        return Reply(status=304, headers=headers)
    return Reply(SettingsAnswer.of(found), headers=headers)


async def change_settings(call: Call) -> Reply:
    """Change what is named and leave the rest; with `If-Match` only while nothing was changed meanwhile."""
    body: SettingsBody = call.body
    changed = await call.services.db.transact(
        preferences.change,
        user_id=call.user.user_id,
        changes=cast("Changes", body.model_dump(exclude_unset=True)),
        seen=etags.expected(call),
        now_ms=call.now_ms,
    )
    return Reply(SettingsAnswer.of(changed), headers={"ETag": etags.quoted(preferences.etag(changed))})


async def read_user(call: Call) -> Reply:
    """Somebody's public profile, or one's own whole profile."""
    if call.path["userId"] == call.user.user_id:
        return await profiles.read(call)
    found = await call.services.db.read(creators.profile, user_id=call.path["userId"])
    answer = PublicProfileAnswer(
        id=found.id,
        username=found.username,
        display_name=found.display_name,
        avatar_url=found.avatar_url,
        bio=found.bio,
        agents_count=found.agents_count,
        created_at=found.created_ms,
    )
    return etags.tagged(call, answer)


async def change_user(call: Call) -> Reply:
    """Change the own profile, as at /api/auth/profile. Nobody else's is there to be changed."""
    if call.path["userId"] != call.user.user_id:
        raise NotFound
    return await profiles.change(call)


_users = partial(Endpoint, tag="users", cache="no-store")

ENDPOINTS = (
    # Before the route with an id, which would take the word for one.
    _users(
        method="GET",
        path="/api/users/settings",
        handler=read_settings,
        summary=("个人设置", "Own settings"),
        answer=SettingsAnswer,
        also={304: None},
    ),
    _users(
        method="PUT",
        path="/api/users/settings",
        handler=change_settings,
        summary=("修改个人设置", "Change the own settings"),
        body=SettingsBody,
        answer=SettingsAnswer,
        errors=("PRECONDITION_FAILED",),
    ),
    _users(
        method="GET",
        path="/api/users/{userId}",
        handler=read_user,
        summary=("用户资料", "A user's profile"),
        answer=ProfileAnswer | PublicProfileAnswer,
        also={304: None},
    ),
    _users(
        method="PUT",
        path="/api/users/{userId}",
        handler=change_user,
        summary=("修改个人资料", "Change the own profile"),
        body=ProfileBody,
        answer=ChangedProfileAnswer,
        errors=("PRECONDITION_FAILED",),
    ),
)
