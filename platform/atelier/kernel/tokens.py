"""Secrets that are made, signed and compared: access tokens, single-use tokens, signed links."""

import base64
import hashlib
import hmac
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import jwt

from atelier.kernel.errors import Unauthorized
from atelier.kernel.keyring import Key, Keyring

ALGORITHM = "HS256"
TYPE = "at+jwt"
ISSUER = "atelier"
AUDIENCE = "atelier-api"
LEEWAY_SECONDS = 5
REQUIRED = ["exp", "iat", "nbf", "jti", "sub", "iss", "aud", "ver"]
_jwt = jwt.PyJWT({"enforce_minimum_key_length": True, "require": REQUIRED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a valid access token says. `version` is the user's token version at issue: a bump ends all older tokens.

    `key_id` names the API key that it stands for; such a token never leaves the process that made it.
    """

    user_id: str
    token_id: str
    version: int
    expires_ms: int
    key_id: str | None = None


def issue(
    keyring: Keyring,
    *,
    user_id: str,
    token_id: str,
    version: int,
    now_ms: int,
    expires_ms: int,
    key_id: str | None = None,
) -> str:
    """An access token, signed with the current key, which it names."""
    now = now_ms // 1000
    payload = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": user_id,
        "jti": token_id,
        "ver": version,
        "iat": now,
        "nbf": now,
        "exp": expires_ms // 1000,
    }
    if key_id is not None:
        payload["key"] = key_id
    key = keyring.current
    return _jwt.encode(payload, key.secret, ALGORITHM, headers={"typ": TYPE, "kid": key.kid})


def verify(keyring: Keyring, token: str) -> Claims:
    """The claims of a token that an active key signed and that is valid now. Raises Unauthorized."""
    try:
        payload = _payload(keyring, token)
        return Claims(
            user_id=str(payload["sub"]),
            token_id=str(payload["jti"]),
            version=int(payload["ver"]),
            expires_ms=int(payload["exp"]) * 1000,
            key_id=str(payload["key"]) if "key" in payload else None,
        )
    except (jwt.InvalidTokenError, TypeError, ValueError) as error:
        raise Unauthorized from error


def _payload(keyring: Keyring, token: str) -> dict[str, Any]:
    # What the header says only chooses among our own keys; the algorithm is always ours.
    header = jwt.get_unverified_header(token)
    if header.get("typ") != TYPE:
        raise Unauthorized
    for key in keyring.named(header.get("kid")):
        with suppress(jwt.InvalidSignatureError):
            return _jwt.decode(token, key.secret, [ALGORITHM], issuer=ISSUER, audience=AUDIENCE, leeway=LEEWAY_SECONDS)
    raise Unauthorized


def digest(text: str) -> str:
    """SHA-256 in hex: how single-use tokens and long keys are kept."""
    return hashlib.sha256(text.encode()).hexdigest()


def derived(key: Key, purpose: str, name: str) -> str:
    """A 256-bit token that can be made again from its name but not guessed: 43 URL-safe characters."""
    mac = hmac.new(key.secret, f"{purpose}\n{name}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def matches(keyring: Keyring, purpose: str, name: str, token: str) -> bool:
    """Whether `token` is one that an active key derives for `name`, compared in constant time."""
    given = token.encode(errors="replace")
    return any(hmac.compare_digest(derived(key, purpose, name).encode(), given) for key in keyring.active)
