"""Two keys, and what each of them is good for."""

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from atelier.kernel import tokens
from atelier.kernel.clock import HOUR_MS, now_ms
from atelier.kernel.errors import Unauthorized
from atelier.kernel.keyring import KID_CHARS, SECRET_BYTES_MIN, Key, Keyring, stretched

OLD = "4f1d0a7c9be24d0f8a63b5e7c2d19480f7a6e5d4c3b2a190"
NEW = "J4v9-kQ2x_8wZr7LmN1pTb6cYd3fHs5g"
SECRETS = st.text(string.printable, min_size=SECRET_BYTES_MIN, max_size=80)


def issued(keyring: Keyring) -> str:
    now = now_ms()
    return tokens.issue(keyring, user_id="u", token_id="t", version=3, now_ms=now, expires_ms=now + HOUR_MS)


def is_good(keyring: Keyring, token: str) -> bool:
    try:
        return tokens.verify(keyring, token).user_id == "u"
    except Unauthorized:
        return False


@given(SECRETS, SECRETS, st.text(max_size=40), st.text(max_size=40))
def test_a_rotation_keeps_what_was_signed_until_the_key_is_retired(old: str, new: str, purpose: str, name: str) -> None:
    assume(old != new)
    before, during, after = Keyring.of(old), Keyring.of(new, old), Keyring.of(new)
    first, second = issued(before), issued(during)
    assert [is_good(ring, first) for ring in (before, during, after)] == [True, True, False]
    assert [is_good(ring, second) for ring in (before, during, after)] == [False, True, True]
    link, newer = tokens.derived(before.current, purpose, name), tokens.derived(during.current, purpose, name)
    assert [tokens.matches(ring, purpose, name, link) for ring in (before, during, after)] == [True, True, False]
    assert [tokens.matches(ring, purpose, name, newer) for ring in (before, during, after)] == [False, True, True]


@given(SECRETS, SECRETS)
def test_both_ways_round_two_processes_believe_each_other(one: str, other: str) -> None:
    assume(one != other)
    here, there = Keyring.of(one, other), Keyring.of(other, one)
    assert is_good(here, issued(there))
    assert is_good(there, issued(here))


@given(SECRETS, SECRETS)
def test_the_name_of_a_key_says_nothing_but_which_one_it_is(one: str, other: str) -> None:
    assume(one != other)
    kid = Key.of(one).kid
    assert kid == Key.of(one).kid != Key.of(other).kid
    assert len(kid) == KID_CHARS
    assert set(kid) <= set("0123456789abcdef")
    assert kid not in one
    assert kid not in {tokens.derived(Key.of(one), "kid", "")[:KID_CHARS], tokens.digest(one)[:KID_CHARS]}


@pytest.mark.parametrize("kid", ["", "0" * KID_CHARS, "../../etc/passwd", "https://evil.example/k", "k" * 100_000])
def test_only_the_names_of_active_keys_name_anything(kid: str) -> None:
    assert Keyring.of(NEW, OLD).named(kid) == ()
    assert Keyring.of(NEW).named(Key.of(OLD).kid) == ()


def test_what_names_no_key_may_be_any_active_ones() -> None:
    assert Keyring.of(NEW, OLD).named(None) == (Key.of(NEW), Key.of(OLD))
    assert Keyring.of(NEW).named(None) == (Key.of(NEW),)


def test_a_secret_does_not_show() -> None:
    shown = repr(Keyring.of(NEW, OLD))
    assert NEW not in shown
    assert OLD not in shown


@pytest.mark.parametrize("secret", ["", "x", "x" * (SECRET_BYTES_MIN - 1)])
def test_a_short_secret_makes_no_key(secret: str) -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        Keyring.of(secret)
    assert len(stretched(secret)) == 64
    assert stretched(secret) != stretched(secret + "y")


def test_a_long_one_stays_as_it_is_and_letters_are_counted_as_bytes() -> None:
    assert stretched(NEW) == NEW
    assert stretched("钥" * 11) == "钥" * 11


def test_the_same_secrets_make_one_keyring() -> None:
    assert Keyring.of(NEW, OLD) is Keyring.of(NEW, OLD)
