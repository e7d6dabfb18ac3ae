"""Access tokens that only we can make, and links that can be made again but not guessed."""

import base64
import json
from typing import Any

import jwt
import pytest

from atelier.kernel import tokens
from atelier.kernel.clock import HOUR_MS, now_ms
from atelier.kernel.errors import Unauthorized
from atelier.kernel.tokens import Claims

SECRET = "4f1d0a7c9be24d0f8a63b5e7c2d19480f7a6e5d4c3b2a190"
OTHER = SECRET[::-1]


def issued(**changes: int) -> str:
    times = {"now_ms": now_ms(), "expires_ms": now_ms() + HOUR_MS} | changes
    return tokens.issue(SECRET, user_id="u", token_id="t", version=3, **times)


def forged(
    *, secret: str = SECRET, typ: str = "at+jwt", algorithm: str = "HS256", without: str = "", **claims: Any
) -> str:
    payload = jwt.decode(issued(), SECRET, ["HS256"], audience=tokens.AUDIENCE) | claims
    payload.pop(without, None)
    return jwt.encode(payload, secret, algorithm, headers={"typ": typ})


def test_a_token_says_who_until_when() -> None:
    expires_ms = (now_ms() + HOUR_MS) // 1000 * 1000
    assert tokens.verify(SECRET, issued(expires_ms=expires_ms)) == Claims(
        user_id="u", token_id="t", version=3, expires_ms=expires_ms
    )


@pytest.mark.parametrize("claim", tokens.REQUIRED)
def test_a_token_without_one_of_its_claims_is_refused(claim: str) -> None:
    with pytest.raises(Unauthorized):
        tokens.verify(SECRET, forged(without=claim))


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        issued()[:-2],
        issued() + "x",
        forged(secret=OTHER),
        forged(typ="JWT"),
        forged(algorithm="HS384"),
        forged(iss="someone"),
        forged(aud="other"),
        forged(exp=1),
        forged(nbf=now_ms() // 1000 + 600),
        forged(sub=5),
        forged(ver="three"),
        issued(now_ms=now_ms() - HOUR_MS, expires_ms=now_ms() - 10_000),
    ],
)
def test_any_other_token_is_refused(token: str) -> None:
    with pytest.raises(Unauthorized):
        tokens.verify(SECRET, token)


def test_a_token_that_is_not_signed_at_all_is_refused() -> None:
    header, payload, _ = issued().split(".")
    names = json.loads(base64.urlsafe_b64decode(header + "=="))
    unsigned = base64.urlsafe_b64encode(json.dumps(names | {"alg": "none"}).encode()).rstrip(b"=").decode()
    with pytest.raises(Unauthorized):
        tokens.verify(SECRET, f"{unsigned}.{payload}.")


def test_a_derived_token_fits_its_purpose_and_name_only() -> None:
    token = tokens.derived(SECRET, "reset", "42")
    assert len(token) == 43
    assert token == tokens.derived(SECRET, "reset", "42")
    assert tokens.matches(SECRET, "reset", "42", token)
    others = [(SECRET, "reset", "43"), (SECRET, "verify", "42"), (OTHER, "reset", "42")]
    assert not any(tokens.matches(*other, token) for other in others)


def test_a_digest_is_the_sha_256_of_the_text() -> None:
    assert tokens.digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
