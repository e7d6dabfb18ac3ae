"""Access tokens that only we can make, and links that can be made again but not guessed."""

import base64
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from atelier.kernel import tokens
from atelier.kernel.clock import HOUR_MS, now_ms
from atelier.kernel.errors import Unauthorized
from atelier.kernel.keyring import Key, Keyring
from atelier.kernel.tokens import Claims

SECRET = "4f1d0a7c9be24d0f8a63b5e7c2d19480f7a6e5d4c3b2a190"
OTHER = SECRET[::-1]
PREVIOUS = "J4v9-kQ2x_8wZr7LmN1pTb6cYd3fHs5g"
KEYRING = Keyring.of(SECRET, PREVIOUS)
KID = KEYRING.current.kid
RSA = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
ELLIPTIC = ec.generate_private_key(ec.SECP256R1())
PUBLIC = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def issued(**changes: int) -> str:
    times: Any = {"now_ms": now_ms(), "expires_ms": now_ms() + HOUR_MS} | changes
    return tokens.issue(KEYRING, user_id="u", token_id="t", version=3, **times)


def forged(*, key: Any = SECRET, algorithm: str = "HS256", without: str = "", **claims: Any) -> str:
    """A token as another library makes it; a claim that is None is left out, `typ` and `kid` are in the header."""
    header = {name: claims.pop(name, usual) for name, usual in (("typ", "at+jwt"), ("kid", KID))}
    payload = jwt.decode(issued(), SECRET, ["HS256"], audience=tokens.AUDIENCE) | claims
    payload.pop(without, None)
    named = {name: value for name, value in header.items() if value is not None}
    return jwt.encode(payload, key, algorithm, headers=named)


def signed(header: dict[str, Any], *, secret: str = SECRET) -> str:
    """A token with a good payload and any header at all, rightly signed with HS256."""
    parts = [_base64(json.dumps(header).encode()), issued().split(".")[1]]
    mac = hmac.new(secret.encode(), ".".join(parts).encode(), "sha256").digest()
    return ".".join([*parts, _base64(mac)])


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_a_token_says_who_until_when() -> None:
    expires_ms = (now_ms() + HOUR_MS) // 1000 * 1000
    assert tokens.verify(KEYRING, issued(expires_ms=expires_ms)) == Claims(
        user_id="u", token_id="t", version=3, expires_ms=expires_ms
    )


@pytest.mark.parametrize("claim", tokens.REQUIRED)
def test_a_token_without_one_of_its_claims_is_refused(claim: str) -> None:
    with pytest.raises(Unauthorized):
        tokens.verify(KEYRING, forged(without=claim))


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        issued()[:-2],
        issued() + "x",
        forged(key=OTHER),
        forged(key=OTHER, kid=None),
        forged(key=PREVIOUS),
        forged(kid=Key.of(PREVIOUS).kid),
        forged(kid=Key.of(OTHER).kid),
        forged(key=OTHER, kid=Key.of(OTHER).kid),
        forged(typ="JWT"),
        forged(typ=None),
        forged(algorithm="HS384"),
        forged(key=RSA, algorithm="RS256"),
        forged(key=RSA, algorithm="RS256", kid=None),
        forged(key=ELLIPTIC, algorithm="ES256"),
        forged(iss="someone"),
        forged(aud="other"),
        forged(exp=1),
        forged(nbf=now_ms() // 1000 + 3_000),
        forged(sub=5),
        forged(ver="three"),
        issued(now_ms=now_ms() - HOUR_MS, expires_ms=now_ms() - 10_000),
    ],
)
def test_any_other_token_is_refused(token: str) -> None:
    with pytest.raises(Unauthorized):
        tokens.verify(KEYRING, token)


def test_a_token_names_the_key_that_signed_it() -> None:
    assert jwt.get_unverified_header(issued()) == {"alg": "HS256", "typ": "at+jwt", "kid": KID}
    assert tokens.verify(KEYRING, signed({"alg": "HS256", "typ": "at+jwt", "kid": KID})).user_id == "u"
    assert tokens.verify(KEYRING, forged(key=PREVIOUS, kid=Key.of(PREVIOUS).kid)).user_id == "u"


@pytest.mark.parametrize("key", [SECRET, PREVIOUS])
def test_a_token_from_before_keys_had_names_is_good_while_its_key_is(key: str) -> None:
    token = forged(key=key, kid=None)
    assert "kid" not in jwt.get_unverified_header(token)
    assert tokens.verify(KEYRING, token).user_id == "u"
    with pytest.raises(Unauthorized):
        tokens.verify(Keyring.of(OTHER), token)
    with pytest.raises(Unauthorized):
        tokens.verify(KEYRING, forged(key=key, kid=None, exp=1))


@pytest.mark.parametrize(
    "kid",
    [
        *("", " ", KID.upper(), KID + " ", KID[:-1], KID + "\0", "k" * 100_000, "\ud800"),
        *("../../dev/null", "/dev/null", f"../{KID}", "file:///dev/null", "https://evil.example/keys.json"),
        *(None, True, 0, 1.5, [KID], {"kid": KID}),
    ],
)
def test_a_rightly_signed_token_is_refused_when_it_calls_its_key_anything_else(kid: Any) -> None:
    with pytest.raises(Unauthorized):
        tokens.verify(KEYRING, signed({"alg": "HS256", "typ": "at+jwt", "kid": kid}))


@given(st.text() | st.integers() | st.lists(st.text()) | st.dictionaries(st.text(), st.text()))
def test_no_other_name_opens_anything(kid: Any) -> None:
    with pytest.raises(Unauthorized):
        tokens.verify(KEYRING, signed({"alg": "HS256", "typ": "at+jwt", "kid": kid}))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, "HS384", "RS256", "ES256", "EdDSA", 5])
@pytest.mark.parametrize("kid", [{"kid": KID}, {}], ids=["named", "unnamed"])
def test_the_algorithm_is_ours_to_choose(algorithm: Any, kid: dict[str, str]) -> None:
    token = signed({"alg": algorithm, "typ": "at+jwt", **kid})
    for forged_token in (token, token[: token.rindex(".") + 1]):
        with pytest.raises(Unauthorized):
            tokens.verify(KEYRING, forged_token)


def test_a_public_key_is_no_secret_even_when_someone_signs_with_it() -> None:
    with pytest.raises(Unauthorized):
        tokens.verify(KEYRING, signed({"alg": "HS256", "typ": "at+jwt", "kid": KID}, secret=PUBLIC.decode()))
    with pytest.raises(Unauthorized):
        tokens.verify(KEYRING, signed({"alg": "HS256", "typ": "at+jwt", "jku": "https://evil.example/"}, secret=OTHER))


def test_a_key_that_is_too_short_signs_nothing() -> None:
    short = Keyring(Key("short", b"x" * 31))
    with pytest.raises(jwt.InvalidKeyError):
        tokens.issue(short, user_id="u", token_id="t", version=3, now_ms=0, expires_ms=HOUR_MS)


def test_a_derived_token_fits_its_purpose_and_name_only() -> None:
    token = tokens.derived(KEYRING.current, "reset", "42")
    assert len(token) == 43
    assert token == tokens.derived(KEYRING.current, "reset", "42")
    assert tokens.matches(KEYRING, "reset", "42", token)
    assert tokens.matches(Keyring.of(OTHER, SECRET), "reset", "42", token)
    others = [(KEYRING, "reset", "43"), (KEYRING, "verify", "42"), (Keyring.of(OTHER), "reset", "42")]
    assert not any(tokens.matches(*other, token) for other in others)


def test_a_digest_is_the_sha_256_of_the_text() -> None:
    assert tokens.digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
