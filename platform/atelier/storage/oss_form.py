"""What a browser needs to send one file to OSS by itself: a policy and its signature (PostObject).

The policy pins bucket, key, type and the exact size, so that whoever has the form can send that file and no other.
"""

import base64
import hashlib
import hmac
import ipaddress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from pydantic_core import to_json

from atelier.kernel import clock

VERSION_4 = "OSS4-HMAC-SHA256"
CREATED = "204"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Whose signature it is. Without a region it is one of version 1."""

    key_id: str
    key_secret: str = field(repr=False)
    region: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What may be sent, from `now_ms` until `expires_ms`."""

    bucket: str
    key: str
    content_type: str
    size: int
    now_ms: int
    expires_ms: int


def address(endpoint: str, bucket: str) -> str:
    """Where the form goes: the bucket's own host, or its path where the endpoint is no name."""
    parts = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
    host = parts.hostname or ""
    if host == "localhost" or _is_address(host):
        return f"{parts.scheme}://{parts.netloc}/{bucket}/"
    return f"{parts.scheme}://{bucket}.{parts.netloc}/"


def fields(upload: Upload, signer: Signer) -> dict[str, str]:
    """Every field of the form but the file, in an order that OSS takes."""
    fixed = {
        "key": upload.key,
        "Content-Type": upload.content_type,
        "success_action_status": CREATED,
    }
    if signer.region:
        return _version_4(upload, signer, fixed)
    policy = _policy(upload, {})
    mac = hmac.new(signer.key_secret.encode(), policy.encode(), hashlib.sha1)
    return fixed | {
        "OSSAccessKeyId": signer.key_id,
        "policy": policy,
        "Signature": base64.b64encode(mac.digest()).decode(),
    }


def _version_4(upload: Upload, signer: Signer, fixed: dict[str, str]) -> dict[str, str]:
    # "2026-01-31T08:00:00.000Z" as "20260131T080000Z".
    moment = str(clock.rfc3339(upload.now_ms)).replace("-", "").replace(":", "").partition(".")[0] + "Z"
    scope = (moment[:8], signer.region, "oss", "aliyun_v4_request")
    named = {
        "x-oss-signature-version": VERSION_4,
        "x-oss-credential": "/".join((signer.key_id, *scope)),
        "x-oss-date": moment,
    }
    key = f"aliyun_v4{signer.key_secret}".encode()
    for part in scope:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    policy = _policy(upload, named)
    signature = hmac.new(key, policy.encode(), hashlib.sha256).hexdigest()
    return fixed | named | {"policy": policy, "x-oss-signature": signature}


def _policy(upload: Upload, named: dict[str, str]) -> str:
    conditions: list[Any] = [
        {"bucket": upload.bucket},
        *({name: value} for name, value in named.items()),
        ["eq", "$key", upload.key],
        ["eq", "$content-type", upload.content_type],
        ["eq", "$success_action_status", CREATED],
        ["content-length-range", upload.size, upload.size],
    ]
    document = {"expiration": clock.rfc3339(upload.expires_ms), "conditions": conditions}
    return base64.b64encode(to_json(document)).decode()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
