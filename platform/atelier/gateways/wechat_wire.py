"""WeChat Pay's signatures and encryption (API v3), pure.

request   METHOD, path with query, timestamp, nonce and body, each with a line feed behind it
answer and notice   timestamp, nonce and raw body, likewise; the key is named by `Wechatpay-Serial`
"""

import base64
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from atelier.gateways import keys
from atelier.gateways.errors import Forged

SCHEME = "WECHATPAY2-SHA256-RSA2048"
FRESH_SECONDS = 300
PROBE = "WECHATPAY/SIGNTEST/"
AEAD = "AEAD_AES_256_GCM"
_FIELD = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchant:
    """Who signs our requests."""

    mchid: str
    serial: str
    key: RSAPrivateKey


def authorization(merchant: Merchant, *, method: str, path: str, body: bytes, timestamp: int, nonce: str) -> str:
    """The value of the Authorization header for exactly these bytes. `path` includes the query."""
    content = _lines(method, path, str(timestamp), nonce, body)
    parts = {
        "mchid": merchant.mchid,
        "nonce_str": nonce,
        "timestamp": str(timestamp),
        "serial_no": merchant.serial,
        "signature": keys.sign(content, merchant.key),
    }
    return f"{SCHEME} " + ",".join(f'{name}="{value}"' for name, value in parts.items())


def verify_request(header: str, *, method: str, path: str, body: bytes, key: RSAPublicKey, now: int) -> dict[str, str]:
    """The parts of an Authorization header that the merchant signed: the gateway's side. Raises Forged."""
    scheme, _, rest = header.partition(" ")
    parts = dict(_FIELD.findall(rest))
    needed = ("mchid", "nonce_str", "timestamp", "serial_no", "signature")
    if scheme != SCHEME or any(name not in parts for name in needed):
        raise Forged("authorization")
    _fresh(parts["timestamp"], now)
    content = _lines(method, path, parts["timestamp"], parts["nonce_str"], body)
    if not keys.is_signed(content, parts["signature"], key):
        raise Forged("sign")
    return parts


def signed(body: bytes, *, key: RSAPrivateKey, serial: str, timestamp: int, nonce: str) -> dict[str, str]:
    """The headers of an answer or notice: the gateway's side."""
    return {
        "Wechatpay-Timestamp": str(timestamp),
        "Wechatpay-Nonce": nonce,
        "Wechatpay-Serial": serial,
        "Wechatpay-Signature": keys.sign(_lines(str(timestamp), nonce, body), key),
        "Wechatpay-Signature-Type": SCHEME,
    }


def verify(headers: Mapping[str, str], body: bytes, *, platform: Mapping[str, RSAPublicKey], now: int) -> None:
    """Raise Forged unless one of the platform's keys signed this body within the last minutes.

    `platform` has the public key of WeChat Pay under its `PUB_KEY_ID_…` and platform certificates under their serial
    numbers, as many as are good at a time: while a merchant moves from one to the other, notices come with either. An
    unknown number is never looked up, or whoever sends forgeries would decide what we fetch.
    """
    timestamp, nonce = headers.get("Wechatpay-Timestamp", ""), headers.get("Wechatpay-Nonce", "")
    signature = headers.get("Wechatpay-Signature", "")
    if headers.get("Wechatpay-Signature-Type", SCHEME) != SCHEME:
        raise Forged("scheme")
    _fresh(timestamp, now)
    serial = headers.get("Wechatpay-Serial", "")
    # Certificates are known by their number without leading zeros, which some write and others don't.
    key = platform.get(serial) or platform.get(serial.upper().lstrip("0"))
    if key is None:
        raise Forged("serial")
    if not keys.is_signed(_lines(timestamp, nonce, body), signature, key):
        raise Forged("probe" if signature.startswith(PROBE) else "sign")


def opened(resource: Mapping[str, Any], *, api_key: bytes) -> dict[str, Any]:
    """What is sealed in a notice. Raises Forged."""
    if resource.get("algorithm") != AEAD:
        raise Forged("algorithm")
    try:
        sealed = base64.b64decode(str(resource["ciphertext"]), validate=True)
        nonce, associated = str(resource["nonce"]).encode(), str(resource.get("associated_data") or "").encode()
        document: object = json.loads(AESGCM(api_key).decrypt(nonce, sealed, associated))
    except (KeyError, ValueError, RecursionError, InvalidTag) as error:
        raise Forged("seal") from error
    if not isinstance(document, dict):
        raise Forged("seal")
    return cast("dict[str, Any]", document)


def sealed(document: Mapping[str, Any], *, api_key: bytes, nonce: str, associated: str) -> dict[str, str]:
    """The reverse: the gateway's side. `nonce` has twelve characters."""
    raw = json.dumps(document, ensure_ascii=False).encode()
    ciphertext = AESGCM(api_key).encrypt(nonce.encode(), raw, associated.encode())
    return {
        "algorithm": AEAD,
        "ciphertext": base64.b64encode(ciphertext).decode(),
        "nonce": nonce,
        "associated_data": associated,
    }


def same_hash(told: str, found: str) -> bool:
    """Whether a bill has the hash that it was announced with."""
    return hmac.compare_digest(told.lower(), found.lower())


def _lines(*parts: str | bytes) -> bytes:
    return b"".join((part if isinstance(part, bytes) else part.encode()) + b"\n" for part in parts)


def _fresh(timestamp: str, now: int) -> None:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise Forged("timestamp")
    if abs(now - int(timestamp)) >= FRESH_SECONDS:
        raise Forged("stale")
