"""What users say about themselves."""

from typing import Any

import pytest
from sqlalchemy import select

from atelier.accounts import profiles, rules
from atelier.accounts.errors import UserNotFound
from atelier.contracts.oplog import OperationRow
from atelier.kernel.errors import Invalid
from atelier.kernel.ids import new_id
from tests.accounts.conftest import NOW_MS, House


async def test_only_what_is_named_changes(house: House) -> None:
    user_id = await house.register("mei", display_name="Mei")
    desk = house.desk
    changed = await desk.change_profile(user_id, {"bio": "画\u202e家\n住在杭州\x00"}, now_ms=NOW_MS)
    assert (changed.display_name, changed.bio, changed.avatar_url) == ("Mei", "画家\n住在杭州", None)
    file = "https://example.com/mei.png"
    await desk.change_profile(user_id, {"display_name": " 梅  梅 ", "avatar_url": file}, now_ms=NOW_MS)
    changed = await desk.change_profile(user_id, {"bio": None}, now_ms=NOW_MS)
    assert (changed.display_name, changed.bio, changed.avatar_url) == ("梅 梅", None, file)
    assert (await desk.change_profile(user_id, {}, now_ms=NOW_MS)) == changed


async def test_the_log_names_fields_and_not_what_they_say(house: House) -> None:
    user_id = await house.register("mei")
    await house.desk.change_profile(user_id, {"bio": "secret", "display_name": "Mei"}, now_ms=NOW_MS)
    details = house.one(select(OperationRow.details).where(OperationRow.action == "USER_UPDATE_PROFILE"))
    assert details == {"fields": ["bio", "display_name"]}


async def test_nobody_is_not_found(house: House) -> None:
    with pytest.raises(UserNotFound):
        await house.desk.account(new_id())
    with pytest.raises(UserNotFound):
        await house.desk.change_profile(new_id(), {"bio": "x"}, now_ms=NOW_MS)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a.png",
        "https://例子.公司/头像.png",
        "https://x.y:8443/?a=b#c",
        "/api/files/01a1fbca-7d5a-73c5-a046-0f76e74cf4ea",
    ],
)
def test_pictures_that_may_be_shown(url: str) -> None:
    assert rules.avatar_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://example.com/a.png",
        "javascript:alert(1)",
        "data:image/png;base64,AA==",
        "//example.com/a.png",
        "https://",
        "https:///a.png",
        "https://ok.com@evil.com/a.png",
        "https://example.com:99999/",
        "https://example.com:x/",
        "https://[::1/",
        "https://example.com/\u202egnp.a",
        'https://example.com/"onerror="alert(1)',
        "https://example.com/a b",
        "HTTPS\n://example.com",
        "/api/files/../admin/users",
        "/api/files/1",
        "https://example.com/" + "a" * 500,
    ],
)
def test_pictures_that_may_not(url: str) -> None:
    with pytest.raises(Invalid):
        rules.avatar_url(url)


@pytest.mark.parametrize(
    ("field", "value"),
    [("display_name", "\u200b"), ("display_name", "x" * 101), ("bio", "x" * 501), ("avatar_url", "x")],
)
def test_bad_changes_are_refused_before_they_are_stored(field: str, value: str) -> None:
    typed: Any = {field: value}
    with pytest.raises(Invalid):
        profiles.cleaned(typed)


def test_emoji_and_persian_keep_their_joiners() -> None:
    for text in ("👩\u200d🎨", "می\u200cخواهم", "e\u0301t\u00e9"):
        assert rules.clean(text).replace("\u00e9", "e\u0301") == text.replace("\u00e9", "e\u0301")
