"""Where Kling is and who we are there."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Final

from atelier.providers.later import Pace

_LIFE_SECONDS: Final = 1_800
_SKEW_SECONDS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account. Without an access key the secret is an API key of the newer kind, sent as it is.

    seconds  how long one call may take
    """

    url: str
    access_key: str = ""
    secret_key: str = field(repr=False)
    pace: Pace = field(default_factory=Pace)
    seconds: float = 20.0

    def bearer(self, *, now_ms: int) -> str:
        """What identifies us with a call made now."""
        if not self.access_key:
            return self.secret_key
        now = now_ms // 1_000
        return token(self.access_key, self.secret_key, expires=now + _LIFE_SECONDS, not_before=now - _SKEW_SECONDS)


def token(access_key: str, secret_key: str, *, expires: int, not_before: int) -> str:
    """A JWT as Kling wants it. Its keys are too short for what a careful library would sign with."""
    head = _part({"alg": "HS256", "typ": "JWT"})
    signed = f"{head}.{_part({'iss': access_key, 'exp': expires, 'nbf': not_before})}"
    mac = hmac.new(secret_key.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{_encoded(mac)}"


def _part(value: dict[str, object]) -> str:
    return _encoded(json.dumps(value, separators=(",", ":")).encode())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
