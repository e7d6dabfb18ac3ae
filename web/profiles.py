"""Users as they see themselves: the own profile, which two paths show.

Its ETag stands for what its owner can change, so that a profile which was read can be changed with `If-Match` whatever
happened to the credits meanwhile.
"""

from typing import Any

from atelier.accounts import preferences, profiles
from atelier.accounts.profiles import ProfileChanges
from atelier.onboarding.signing_in import Account
from web import etags
from web.routing import Call, Reply
from web.schemas.auth import ChangedProfileAnswer, ProfileAnswer, ProfileBody
from web.schemas.settings import SettingsAnswer


async def read(call: Call) -> Reply:
    """The caller's own profile."""
    account = await call.services.desk.account(call.user.user_id)
    return Reply(own(account), headers={"ETag": etags.quoted(profiles.etag(account.profile))})


async def change(call: Call) -> Reply:
    """Change the named fields. Control and direction characters are dropped."""
    profile = await call.services.desk.change_profile(
        call.user.user_id, changes(call.body), seen=etags.expected(call), now_ms=call.now_ms
    )
    answer = ChangedProfileAnswer(
        id=profile.id, display_name=profile.display_name, bio=profile.bio, avatar_url=profile.avatar_url
    )
    return Reply(answer, headers={"ETag": etags.quoted(profiles.etag(profile))})


def user(account: Account) -> dict[str, Any]:
    """What a login says of the user."""
    profile = account.profile
    return {
        "id": profile.id,
        "email": profile.email,
        "username": profile.username,
        "display_name": profile.display_name,
        "avatar_url": profile.avatar_url,
        "role": profile.role,
        "credits": account.balance.available,
    }


def own(account: Account) -> ProfileAnswer:
    """All of it."""
    profile = account.profile
    return ProfileAnswer.model_validate(
        {
            **user(account),
            "bio": profile.bio,
            "total_spent": account.balance.spent,
            "created_at": profile.created_ms,
            "settings": SettingsAnswer.of(preferences.of(profile.settings)),
        }
    )


def changes(body: ProfileBody) -> ProfileChanges:
    """What the body names."""
    found = ProfileChanges()
    if body.display_name:
        found["display_name"] = body.display_name
    if "bio" in body.model_fields_set:
        found["bio"] = body.bio
    if "avatar_url" in body.model_fields_set:
        found["avatar_url"] = body.avatar_url
    return found
