"""Every code has a status and a sentence in both languages, and the front ends' sentences are word for word theirs."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from string import Formatter

import pytest

import atelier
import web
from atelier.kernel.errors import AtelierError
from web import messages, openapi, problems, routes
from web.messages import CODES, FIELDS, locale_of

# What is told to the front ends that were there before us.
KEPT = {
    "USER_EXISTS": "用户已存在",
    "INVALID_CREDENTIALS": "用户名或密码错误",
    "UNAUTHORIZED": "未授权",
    "VALIDATION_FAILED": "输入数据无效",
    "FORBIDDEN": "权限不足",
    "AGENT_NOT_FOUND": "Agent不存在",
    "ALREADY_PURCHASED": "您已购买该Agent",
    "INSUFFICIENT_CREDITS": "积分不足",
    "AGENT_UNAVAILABLE": "Agent不存在或不可用",
    "NOT_PURCHASED": "您还未购买该Agent",
    "GENERATION_FAILED": "AI生成失败，请稍后重试",
    "PACKAGE_NOT_FOUND": "套餐不存在",
    "PAYMENT_METHOD_UNSUPPORTED": "不支持的支付方式",
}


def _raised_codes() -> set[str]:
    for package in (atelier, web):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__") and ".migrations" not in module.name:
                importlib.import_module(module.name)

    def below(kind: type[AtelierError]) -> Iterator[type[AtelierError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from below(child)

    ours = [kind for kind in below(AtelierError) if kind.__module__.split(".")[0] in {"atelier", "web"}]
    return {kind.code for kind in ours}


def test_every_code_that_the_product_can_raise_has_a_sentence() -> None:
    assert _raised_codes() - CODES.keys() == set()


def test_every_code_that_a_route_names_has_a_status_and_a_sentence() -> None:
    named = {code for endpoint in routes.ENDPOINTS for code in openapi.codes(endpoint)}
    assert named - CODES.keys() == set()
    assert named - problems.STATUSES.keys() == set()
    assert problems.STATUSES.keys() <= CODES.keys()


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_sentence_is_there_in_both_languages(code: str) -> None:
    assert re.search(r"[\u4e00-\u9fff]", CODES[code].zh)
    assert re.fullmatch(r"[\x20-\x7e]+", CODES[code].en)


@pytest.mark.parametrize(("code", "sentence"), KEPT.items())
def test_the_front_ends_sentences_are_kept(code: str, sentence: str) -> None:
    assert messages.sentence(code, "zh") == sentence


@pytest.mark.parametrize("code", sorted(FIELDS))
def test_field_sentences_take_the_same_values_in_both_languages(code: str) -> None:
    zh, en = ({name for _, name, _, _ in Formatter().parse(text) if name} for text in FIELDS[code])
    assert zh == en
    filled = messages.field_sentence(code, dict.fromkeys(zh, 7), "en")
    assert filled
    assert "{" not in filled
    assert not zh or messages.field_sentence(code, {}, "en") == messages.FIELD_UNKNOWN.en


@pytest.mark.parametrize(
    ("header", "locale"),
    [
        (None, "zh"),
        ("", "zh"),
        ("en", "en"),
        ("en-US,en;q=0.9", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en;q=0.8, zh;q=0.9", "zh"),
        ("en;q=0.9, zh;q=0.8", "en"),
        ("fr, en;q=0.5", "en"),
        ("fr", "zh"),
        ("*", "zh"),
        ("en;q=x", "zh"),
        ("en;q=0", "zh"),
        (";;;,,q=,", "zh"),
        ("EN", "en"),
    ],
)
def test_chinese_unless_english_is_wanted_more(header: str | None, locale: str) -> None:
    assert locale_of(header) == locale
