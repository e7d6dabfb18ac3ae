"""What users are told, in their language."""

import re
from typing import Any, get_args

import pytest

from atelier.accounts import preferences
from atelier.correspondence import unsubscribing
from atelier.notifications import kinds
from atelier.notifications.kinds import KINDS
from tests.notifications.town import SAMPLES
from web import unsubscribe_page
from web.schemas.notifications import NotificationAnswer
from web.schemas.settings import CategoriesAnswer, CategoriesBody

CHINESE = re.compile("[\u4e00-\u9fff]")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_is_told_in_both_languages(kind: str) -> None:
    data = kinds.cleaned(SAMPLES[kind])
    zh, en = (kinds.told(kind, data, locale) for locale in kinds.LOCALES)
    assert all(CHINESE.search(text) for text in zh)
    plain = {name: "x" if isinstance(value, str) and CHINESE.search(value) else value for name, value in data.items()}
    assert not any(CHINESE.search(text) for text in (en.title, kinds.told(kind, plain, "en").text))
    assert "{" not in "".join((*zh, *en))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_title_names_nothing_that_a_user_has_written(kind: str) -> None:
    assert all("{" not in title for title in KINDS[kind].title)


def test_every_category_has_a_switch_in_every_place() -> None:
    switches = list(preferences.DEFAULTS)
    assert {kind.category for kind in KINDS.values()} == set(switches)
    assert list(CategoriesAnswer.model_fields) == list(CategoriesBody.model_fields) == switches
    assert list(get_args(NotificationAnswer.model_fields["category"].annotation)) == switches
    assert unsubscribing.CATEGORIES == set(switches) - kinds.TRANSACTIONAL == set(unsubscribe_page.CATEGORIES)


@pytest.mark.parametrize(
    ("kind", "data", "zh", "en"),
    [
        ("credits_adjusted", {"amount": 5}, "管理员调整了您的积分：+5。原因：未说明", "+5. Reason: none given"),
        ("credits_adjusted", {"amount": -5, "reason": "错"}, "-5。原因：错", "-5. Reason: 错"),
        ("project_invitation", {"projectTitle": "江南"}, "有用户邀请您以成员身份", "Someone invites you"),
        ("role_changed", {"role": "admin"}, "管理员", "administrator"),
        ("subscription_expiring", {"agentName": "x", "expiresAt": 0}, "1970-01-01 00:00 UTC", "1970-01-01 00:00 UTC"),
        ("agent_rejected", {"agentName": "x", "reason": None}, "原因：未说明", "Reason: none given"),
    ],
)
def test_sentences(kind: str, data: dict[str, Any], zh: str, en: str) -> None:
    kept = kinds.cleaned(data)
    assert zh in kinds.told(kind, kept, "zh").text
    assert en in kinds.told(kind, kept, "en").text


def test_data_is_kept_as_short_clean_lines_and_readable_times() -> None:
    kept = kinds.cleaned(
        {"agentName": "a\u202eb\x00\r\nBcc: c  d", "reason": "长" * 900, "expiresAt": 1_790_000_000_000}
    )
    assert kept == {
        "agentName": "a b Bcc: c d",
        "reason": "长" * kinds.TEXT_MAX,
        "expiresAt": "2026-09-21T14:13:20.000Z",
    }


def test_braces_in_data_are_only_text() -> None:
    assert "{amount.__class__} {0}" in kinds.told("agent_approved", {"agentName": "{amount.__class__} {0}"}, "en").text
