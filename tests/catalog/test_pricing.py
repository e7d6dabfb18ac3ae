"""What a use costs: a table of both sides of it, and what holds for every rule."""

import math
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.catalog import pricing
from atelier.catalog.pricing import Limit, Rule, Unit

Json = dict[str, Any]
IMAGES = Rule(unit="image", credits=3, minimum=0, maximum=40, quantity="config.n")
SECONDS = Rule(unit="second", credits=2, minimum=5, maximum=60, quantity="config.durationSeconds")
SPOKEN = Rule(unit="thousand_characters", credits=4, minimum=0, maximum=100, quantity="inputData.prompt")
WRITTEN = Rule(unit="thousand_characters", credits=4, minimum=6, maximum=30, quantity="output")
FAMILY = "👨‍👩‍👧"  # One picture on a screen, five code points, eighteen bytes.


class Asked(NamedTuple):
    """What is asked for, and what that costs at most."""

    rule: Rule
    config: Json
    text: Any
    quantity: int | None
    credits: int
    limited_by: Limit | None = None


ASKED = [
    Asked(Rule.fixed(7), {}, "", 1, 7),
    Asked(Rule.fixed(0), {"n": 9}, "", 1, 0),
    Asked(IMAGES, {"n": 1}, "", 1, 3),
    Asked(IMAGES, {"n": 4}, "", 4, 12),
    Asked(IMAGES, {"n": 13}, "", 13, 39),
    Asked(IMAGES, {"n": 14}, "", 14, 40, "maximum"),
    Asked(IMAGES, {"n": 0}, "", 1, 3),
    Asked(IMAGES, {"n": -5}, "", 1, 3),
    Asked(IMAGES, {"n": 2.5}, "", 3, 9),
    Asked(IMAGES, {}, "", None, 40, "maximum"),
    Asked(IMAGES, {"n": None}, "", None, 40, "maximum"),
    Asked(IMAGES, {"n": "4"}, "", None, 40, "maximum"),
    Asked(IMAGES, {"n": True}, "", None, 40, "maximum"),
    Asked(IMAGES, {"n": 2**63 - 1}, "", 10**9, 40, "maximum"),
    Asked(IMAGES, {"n": 1e308}, "", 10**9, 40, "maximum"),
    Asked(SECONDS, {"durationSeconds": 2}, "", 2, 5, "minimum"),
    Asked(SECONDS, {"durationSeconds": 2.5}, "", 3, 6),
    Asked(SECONDS, {"durationSeconds": 6}, "", 6, 12),
    Asked(SECONDS, {"durationSeconds": 6.001}, "", 7, 14),
    Asked(SECONDS, {"durationSeconds": 6.0001}, "", 6, 12),
    Asked(SECONDS, {"durationSeconds": 31}, "", 31, 60, "maximum"),
    Asked(SPOKEN, {}, "", 1, 4),
    Asked(SPOKEN, {}, None, 1, 4),
    Asked(SPOKEN, {}, "字" * 999, 1, 4),
    Asked(SPOKEN, {}, "字" * 1_000, 1, 4),
    Asked(SPOKEN, {}, "字" * 1_001, 2, 8),
    Asked(SPOKEN, {}, FAMILY * 200, 1, 4),
    Asked(SPOKEN, {}, FAMILY * 201, 2, 8),
    Asked(SPOKEN, {}, "a" * 65_000, 65, 100, "maximum"),
    Asked(WRITTEN, {"n": 1}, "short", None, 30, "maximum"),
]


@pytest.mark.parametrize("case", ASKED)
def test_what_is_asked_for_has_a_price_beforehand(case: Asked) -> None:
    price = pricing.estimate(case.rule, input_data={"prompt": case.text}, config=case.config)
    assert (price.quantity, price.credits, price.limited_by) == (case.quantity, case.credits, case.limited_by)
    assert (price.unit, price.credits_per_unit) == (case.rule.unit, case.rule.credits)


def image() -> Json:
    return {"type": "image", "metadata": {}}


def sound(seconds: object = None, *, kind: str = "audio") -> Json:
    return {"type": kind, "metadata": {} if seconds is None else {"durationSeconds": seconds}}


def text(content: str) -> Json:
    return {"type": "text", "text": content, "metadata": {}}


def book(characters: int) -> Json:
    return {"type": "text", "characters": characters, "key": "outputs/…", "metadata": {}}


class Made(NamedTuple):
    """What was made, how much that is, and what it costs under this ceiling."""

    rule: Rule
    outputs: list[Json]
    quantity: float | None
    ceiling: int
    credits: int
    text: str = "字"


MADE = [
    Made(Rule.fixed(7), [text("")], 1, 7, 7),
    Made(IMAGES, [], 0, 12, 0),
    Made(IMAGES, [image()], 1, 12, 3),
    Made(IMAGES, [image()] * 4, 4, 12, 12),
    Made(IMAGES, [image()] * 5, 5, 12, 12),
    Made(IMAGES, [image()] * 20, 20, 40, 40),
    Made(IMAGES, [text("a caption"), image()], 1, 12, 3),
    Made(IMAGES, [text("a caption")], 0, 12, 0),
    Made(SECONDS, [], 0, 12, 0),
    Made(SECONDS, [sound(6)], 6, 12, 12),
    Made(SECONDS, [sound(5.2)], 5.2, 12, 12),
    Made(SECONDS, [sound(4.0)], 4.0, 12, 8),
    Made(SECONDS, [sound(4.0004)], 4.0004, 12, 8),
    Made(SECONDS, [sound(0.2)], 0.2, 12, 5),
    Made(SECONDS, [sound(0)], 0, 12, 0),
    Made(SECONDS, [sound(0.1)] * 10, 1.0, 12, 5),
    Made(SECONDS, [sound(2.5, kind="video"), sound(2.5)], 5.0, 60, 10),
    Made(SECONDS, [sound(500)], 500, 60, 60),
    Made(SECONDS, [sound()], None, 12, 12),
    Made(SECONDS, [sound(3), sound()], None, 12, 12),
    Made(SECONDS, [sound("long")], None, 12, 12),
    Made(SECONDS, [sound(-1)], None, 12, 12),
    Made(SECONDS, [image()], 0, 12, 0),
    Made(SPOKEN, [sound(3)], 1, 4, 4),
    Made(SPOKEN, [sound(3)], 1_001, 8, 8, "字" * 1_001),
    Made(SPOKEN, [sound(3)], 1, 4, 4, ""),
    Made(SPOKEN, [], 0, 8, 0, "字" * 1_001),
    Made(WRITTEN, [text("")], 0, 30, 0),
    Made(WRITTEN, [text("字" * 1_000)], 1_000, 30, 6),
    Made(WRITTEN, [text("字" * 1_001)], 1_001, 30, 8),
    Made(WRITTEN, [text(FAMILY * 200), text(FAMILY * 200)], 2_000, 30, 8),
    Made(WRITTEN, [book(7_001)], 7_001, 30, 30),
    Made(WRITTEN, [book(6_999), text("two")], 7_002, 30, 30),
    Made(WRITTEN, [book(10**12)], 10**12, 30, 30),
    Made(WRITTEN, [image()], 0, 30, 0),
]


@pytest.mark.parametrize("case", MADE)
def test_what_is_made_has_a_price_afterwards(case: Made) -> None:
    quantity = pricing.measured(case.rule, case.outputs, input_data={"prompt": case.text})
    assert (quantity is None) == (case.quantity is None)
    assert quantity == pytest.approx(case.quantity)
    assert pricing.actual(case.rule, quantity, ceiling=case.ceiling) == case.credits


@pytest.mark.parametrize(
    ("price_type", "per_use", "expected"),
    [("free", None, 0), ("free", 9, 0), ("one_time", 9, 0), ("subscription", 9, 0), ("pay_per_use", 9, 9)],
)
def test_without_a_meter_only_paying_per_use_costs_per_use(price_type: str, per_use: int | None, expected: int) -> None:
    found = pricing.rule_of(price_type=price_type, credits_per_use=per_use, pricing=None)
    assert found == Rule.fixed(expected)
    assert pricing.rule_of(price_type=price_type, credits_per_use=per_use, pricing=IMAGES.document) == IMAGES


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """Any rule that a creator may make."""
    unit: Unit = draw(st.sampled_from(["fixed", "image", "second", "thousand_characters"]))
    per_unit = draw(st.integers(1, 1_000_000))
    if unit == "fixed":
        return Rule.fixed(per_unit)
    minimum = draw(st.integers(0, 1_000_000))
    maximum = draw(st.integers(max(minimum, per_unit), 1_000_000))
    quantity = "output" if unit == "thousand_characters" else draw(st.sampled_from(["config.n", "output"]))
    return Rule(unit=unit, credits=per_unit, minimum=minimum, maximum=maximum, quantity=quantity)


def lots() -> st.SearchStrategy[float]:
    """How much of something there may be, more than there can be included."""
    return st.one_of(
        st.integers(0, 20_000), st.integers(0, 10**30), st.floats(0, 1e300, allow_nan=False), st.just(math.inf)
    )


@given(rule=rules(), asked=lots() | st.none(), made=lots() | st.none())
def test_nothing_costs_more_than_was_promised(rule: Rule, asked: float | None, made: float | None) -> None:
    quote = pricing.estimate(rule, input_data={}, config={} if asked is None else {"n": asked}).credits
    cost = pricing.actual(rule, made, ceiling=quote)
    assert rule.minimum <= quote <= rule.maximum
    assert 0 <= cost <= quote
    assert type(cost) is int
    if made is None or made >= 1:
        assert rule.minimum <= cost


@given(rule=rules(), one=lots(), other=lots())
def test_more_never_costs_less(rule: Rule, one: float, other: float) -> None:
    less, more = sorted([one, other])
    promised = [pricing.estimate(rule, input_data={}, config={"n": asked}).credits for asked in (less, more)]
    assert promised == sorted(promised)
    costs = [pricing.actual(rule, made, ceiling=promised[1]) for made in (less, more)]
    assert costs == sorted(costs)


@given(rule=rules(), asked=lots())
def test_whoever_gets_what_was_asked_for_pays_what_was_promised(rule: Rule, asked: float) -> None:
    price = pricing.estimate(rule, input_data={}, config={"n": asked})
    if price.quantity is not None and asked >= 1:
        assert pricing.actual(rule, asked, ceiling=price.credits) == price.credits


@given(rule=rules())
def test_a_rule_is_its_document(rule: Rule) -> None:
    assert Rule.of(rule.document) == rule
