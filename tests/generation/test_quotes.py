"""The text that a quote is: whole, signed, someone's, and good for a while."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.generation import quotes
from atelier.generation.errors import QuoteExpired, QuoteInvalid
from atelier.generation.quotes import QUOTE_CHARS_MAX, Quote
from atelier.kernel.ids import new_id
from atelier.kernel.keyring import Keyring

OLD, NEW = "an old secret that is long enough for it", "a new secret that is long enough for it too"
USER = new_id()
QUOTE = Quote(
    agent_id=new_id(),
    version=7,
    credits=12,
    expires_ms=1_000,
    input_digest=quotes.digest({"prompt": "松鼠"}),
    config_digest=quotes.digest({"n": 4}),
)


@given(credits=st.integers(0, 2**31), version=st.integers(1, 2**31), expires_ms=st.integers(1, 10**14))
def test_it_says_what_was_promised(credits: int, version: int, expires_ms: int) -> None:  # noqa: A002 - its field
    quote = replace(QUOTE, credits=credits, version=version, expires_ms=expires_ms)
    text = quotes.issue(Keyring.of(NEW), quote, user_id=USER)
    assert len(text) <= QUOTE_CHARS_MAX
    assert quotes.read(Keyring.of(NEW), text, user_id=USER, now_ms=expires_ms - 1) == quote
    with pytest.raises(QuoteExpired):
        quotes.read(Keyring.of(NEW), text, user_id=USER, now_ms=expires_ms)


def test_it_outlives_a_rotation_and_not_its_key() -> None:
    text = quotes.issue(Keyring.of(OLD), QUOTE, user_id=USER)
    assert quotes.read(Keyring.of(NEW, OLD), text, user_id=USER, now_ms=0) == QUOTE
    with pytest.raises(QuoteInvalid):
        quotes.read(Keyring.of(NEW), text, user_id=USER, now_ms=0)


@given(place=st.integers(0, 400), other=st.characters())
def test_no_character_of_it_can_be_changed(place: int, other: str) -> None:
    text = quotes.issue(Keyring.of(NEW), QUOTE, user_id=USER)
    place %= len(text)
    changed = f"{text[:place]}{other}{text[place + 1 :]}"
    if changed != text:
        with pytest.raises(QuoteInvalid):
            quotes.read(Keyring.of(NEW), changed, user_id=USER, now_ms=0)


def test_nobody_else_has_it() -> None:
    text = quotes.issue(Keyring.of(NEW), QUOTE, user_id=USER)
    with pytest.raises(QuoteInvalid):
        quotes.read(Keyring.of(NEW), text, user_id=new_id(), now_ms=0)
