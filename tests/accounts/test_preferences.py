"""Settings as a typed document, whatever is stored and however it is changed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from atelier.accounts import preferences
from atelier.accounts.errors import Outdated, UserNotFound
from atelier.accounts.models import User
from atelier.accounts.preferences import DEFAULTS, LOCALES, THEMES, Changes, Preferences
from atelier.kernel.ids import new_id
from tests.accounts.conftest import NOW_MS, House

NAMES = st.sampled_from(["locale", "theme", "notifications", "email", "live", *DEFAULTS, *LOCALES, *THEMES, "other"])
LEAVES = st.none() | st.booleans() | st.integers() | NAMES
STORED = st.dictionaries(
    NAMES,
    st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner), max_leaves=20),
)
SWITCHES = st.fixed_dictionaries({}, optional={"email": st.booleans(), "live": st.booleans()})
CHANGES: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {},
    optional={
        "locale": st.sampled_from(LOCALES),
        "theme": st.sampled_from(THEMES),
        "notifications": st.dictionaries(st.sampled_from(sorted(DEFAULTS)), SWITCHES),
    },
)


def is_typed(found: Preferences) -> bool:
    """Whether it is a whole document."""
    return (
        found.locale in LOCALES
        and found.theme in THEMES
        and list(found.notifications) == list(DEFAULTS)
        and {switch for one in found.notifications.values() for switch in (one.email, one.live)} <= {True, False}
    )


def chosen(found: Preferences, changes: Changes) -> bool:
    """Whether everything that was changed is as it was changed."""
    return (
        changes.get("locale", found.locale) == found.locale
        and changes.get("theme", found.theme) == found.theme
        and all(
            switches.get("email", found.notifications[name].email) == found.notifications[name].email
            and switches.get("live", found.notifications[name].live) == found.notifications[name].live
            for name, switches in changes.get("notifications", {}).items()
        )
    )


@given(STORED)
def test_whatever_is_stored_reads_as_a_whole_document(stored: dict[str, Any]) -> None:
    assert is_typed(preferences.of(stored))


@given(STORED, CHANGES, CHANGES)
def test_changes_are_kept_and_nothing_else_is_touched(stored: dict[str, Any], first: Changes, second: Changes) -> None:
    before = preferences.of(stored)
    after = preferences.merged(stored, first)
    found = preferences.of(after)
    assert is_typed(found)
    assert chosen(found, first)
    assert preferences.merged(after, first) == after
    assert {name: after[name] for name in stored if name == "other"} == {
        name: value for name, value in stored.items() if name == "other"
    }
    untouched: Changes = {"locale": before.locale} if "locale" not in first else {}
    assert chosen(found, untouched)
    assert chosen(preferences.of(preferences.merged(after, second)), second)


async def test_a_default_that_was_never_chosen_is_not_stored(house: House) -> None:
    mei = await house.register("mei", locale="en")
    changes: Changes = {"notifications": {"sales": {"email": True}}}
    after = house.database.transact(preferences.change, user_id=mei, changes=changes, now_ms=NOW_MS)
    assert (after.locale, after.notifications["sales"].email) == ("en", True)
    assert house.one(select(User.settings)) == {"locale": "en", "notifications": {"sales": {"email": True}}}
    assert house.operations("USER_UPDATE_SETTINGS") == 1
    house.database.transact(preferences.change, user_id=mei, changes=changes, now_ms=NOW_MS)
    assert house.operations("USER_UPDATE_SETTINGS") == 1


async def test_what_was_chosen_outlives_the_default_that_says_the_same(house: House) -> None:
    mei = await house.register("mei")
    off: Changes = {"notifications": {"sales": {"email": DEFAULTS["sales"].email}}}
    house.database.transact(preferences.change, user_id=mei, changes=off, now_ms=NOW_MS)
    assert house.one(select(User.settings))["notifications"] == {"sales": {"email": False}}
    assert house.operations("USER_UPDATE_SETTINGS") == 0


async def test_another_version_is_not_changed(house: House) -> None:
    mei = await house.register("mei")
    seen = frozenset({preferences.etag(house.database.read(preferences.read, user_id=mei))})
    dark: Changes = {"theme": "dark"}
    house.database.transact(preferences.change, user_id=mei, changes=dark, seen=seen, now_ms=NOW_MS)
    light: Changes = {"theme": "light"}
    with pytest.raises(Outdated):
        house.database.transact(preferences.change, user_id=mei, changes=light, seen=seen, now_ms=NOW_MS)
    assert house.database.read(preferences.read, user_id=mei).theme == "dark"


async def test_nobody_has_no_settings(house: House) -> None:
    with pytest.raises(UserNotFound):
        house.database.read(preferences.read, user_id=new_id())
    with pytest.raises(UserNotFound):
        house.database.transact(preferences.change, user_id=new_id(), changes={}, now_ms=NOW_MS)
