"""What signs: 32 random bytes, shown once as `whsec_…`, and kept sealed with the keys that sign everything else.

Who has the database alone can sign nothing. When the operator's key is rotated, what the old one sealed is sealed anew
(`keeping.seal_again`) while both are there.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken

from atelier.kernel.keyring import Key, Keyring
from atelier.webhooks.errors import SecretUnreadable

PREFIX = "whsec_"
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Sealed:
    """A secret that only the named key opens."""

    kid: str
    text: str


def new_secret() -> str:
    """A fresh secret as its user is shown it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def seal(keyring: Keyring, secret: str) -> Sealed:
    """The secret, sealed with the current key."""
    return Sealed(keyring.current.kid, _box(keyring.current).encrypt(secret.encode()).decode())


def opened(keyring: Keyring, sealed: Sealed) -> str:
    """The secret. Raises SecretUnreadable."""
    for key in keyring.named(sealed.kid):
        try:
            return _box(key).decrypt(sealed.text.encode()).decode()
        except InvalidToken as error:
            raise SecretUnreadable from error
    raise SecretUnreadable


def signature(secret: str, *, event_id: str, timestamp: int, body: bytes) -> str:
    """`v1,…`, as Standard Webhooks have it."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    mac = hmac.new(key, b".".join((event_id.encode(), str(timestamp).encode(), body)), hashlib.sha256)
    return "v1," + base64.b64encode(mac.digest()).decode()


def headers(secrets_: Sequence[str], *, event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of an attempt: a signature by each secret that is good now."""
    signed = [signature(one, event_id=event_id, timestamp=timestamp, body=body) for one in secrets_]
    return {"webhook-id": event_id, "webhook-timestamp": str(timestamp), "webhook-signature": " ".join(signed)}


def _box(key: Key) -> Fernet:
    # A key of its own, made from the signing key: no signature is ever this.
    return Fernet(base64.urlsafe_b64encode(hmac.new(key.secret, b"webhook secrets", hashlib.sha256).digest()))
