"""Secrets that are made, signed and compared: access tokens, single-use tokens, signed links."""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

import jwt

from atelier.kernel.errors import Unauthorized

ALGORITHM = "HS256"
ISSUER = "atelier"
AUDIENCE = "atelier-api"
LEEWAY_SECONDS = 5
REQUIRED = ["exp", "iat", "nbf", "jti", "sub", "iss", "aud", "ver"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a valid access token says. `version` is the user's token version at issue: a bump ends all older tokens."""

    user_id: str
    token_id: str
    version: int
    expires_ms: int


def issue(secret: str, *, user_id: str, token_id: str, version: int, now_ms: int, expires_ms: int) -> str:
    """A signed access token."""
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
    return jwt.encode(payload, secret, ALGORITHM, headers={"typ": "at+jwt"})


def verify(secret: str, token: str) -> Claims:
    """The claims of a token that we signed and that is valid now. Raises Unauthorized."""
    try:
        payload: dict[str, Any] = jwt.decode(
            token,
            secret,
            [ALGORITHM],
            issuer=ISSUER,
            audience=AUDIENCE,
            leeway=LEEWAY_SECONDS,
            options={"require": REQUIRED},
        )
        if jwt.get_unverified_header(token).get("typ") != "at+jwt":
            raise Unauthorized
        return Claims(
            user_id=str(payload["sub"]),
            token_id=str(payload["jti"]),
            version=int(payload["ver"]),
            expires_ms=int(payload["exp"]) * 1000,
        )
    except (jwt.InvalidTokenError, TypeError, ValueError) as error:
        raise Unauthorized from error


def digest(text: str) -> str:
    """SHA-256 in hex: how single-use tokens and long keys are kept."""
    return hashlib.sha256(text.encode()).hexdigest()


def derived(secret: str, purpose: str, name: str) -> str:
    """A 256-bit token that can be made again from its name but not guessed: 43 URL-safe characters."""
    mac = hmac.new(secret.encode(), f"{purpose}\n{name}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def matches(secret: str, purpose: str, name: str, token: str) -> bool:
    """Whether `token` is the one derived for `name`, compared in constant time."""
    return hmac.compare_digest(derived(secret, purpose, name).encode(), token.encode(errors="replace"))
