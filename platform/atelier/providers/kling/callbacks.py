"""Whether a callback is Kling's own: signed as Standard Webhooks say, when the account has a secret for that."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

TOLERANCE_SECONDS = 300
PREFIX = "whsec_"


def is_genuine(secret: str, headers: Mapping[str, str], body: bytes, *, now_ms: int) -> bool:
    """Whether one of the signatures is the secret's, and the callback is not an old one."""
    sent_at = headers.get("webhook-timestamp", "")
    if not sent_at.isascii() or not sent_at.isdigit() or len(sent_at) > 12:
        return False
    if abs(now_ms // 1_000 - int(sent_at)) > TOLERANCE_SECONDS:
        return False
    mine = f"v1,{signature(secret, headers.get('webhook-id', ''), sent_at, body)}".encode()
    given = headers.get("webhook-signature", "").encode(errors="replace").split(b" ")
    return any(hmac.compare_digest(mine, one) for one in given[:8])


def signature(secret: str, message_id: str, sent_at: str, body: bytes) -> str:
    """The signature of a message, in Base64. Raises ValueError for what is no secret."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("a webhook secret is whsec_ and Base64") from error
    mac = hmac.new(key, f"{message_id}.{sent_at}.".encode() + body, hashlib.sha256)
    return base64.b64encode(mac.digest()).decode()
