"""The keys of the sandbox, ready to use, and the letters that it writes with them."""

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from atelier.gateways import alipay_wire, keys, sandbox_identity, wechat_wire
from atelier.gateways.sandbox_identity import Identity
from sandbox.clock import DAY_MS, Clock, beijing
from sandbox.faults import Taken
from sandbox.trade import NewNotice

Mode = Literal["public_key", "certificate", "mixed"]
MODES: Final = frozenset({"public_key", "certificate", "mixed"})
_OLD_SECONDS: Final = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A notice as it goes over the wire."""

    headers: Mapping[str, str]
    body: bytes


class Keys:
    """The identity of a folder with its keys."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._load(sandbox_identity.kept(folder))

    def _load(self, identity: Identity) -> None:
        self.identity = identity
        self.alipay = sandbox_identity.loaded(identity.alipay_key)
        self.alipay_merchant: RSAPublicKey = sandbox_identity.loaded(identity.alipay_merchant_key).public_key()
        self.wechat = sandbox_identity.loaded(identity.wechat_key)
        self.wechat_merchant: RSAPublicKey = sandbox_identity.loaded(identity.wechat_merchant_key).public_key()
        self.certificates = {one.serial: sandbox_identity.loaded(one.key) for one in identity.wechat_certificates}

    @cached_property
    def stranger(self) -> RSAPrivateKey:
        """A key that nobody knows."""
        return rsa.generate_private_key(public_exponent=65_537, key_size=keys.BITS_MIN)

    def rotate(self) -> str:
        """Sign by a new platform certificate from now on; answers it in PEM."""
        self._load(self.identity.rotated())
        sandbox_identity.keep(self._folder, self.identity)
        return self.identity.wechat_certificates[-1].certificate

    def wechat_signer(self, mode: Mode) -> tuple[str, RSAPrivateKey]:
        """The serial number and the key that a message is signed with."""
        by_key = mode == "public_key" or (mode == "mixed" and secrets.randbelow(2) == 0)
        if by_key:
            return self.identity.wechat_public_key_id, self.wechat
        return list(self.certificates.items())[-1]


class Writer:
    """Signs notices, well or badly. `mode` says which of its keys WeChat Pay signs notices with."""

    def __init__(self, own: Keys, *, clock: Clock) -> None:
        self.keys = own
        self.clock = clock
        self.mode: Mode = "mixed"

    def write(self, provider: str, notice: NewNotice, *, faults: Taken) -> Letter:
        """The notice, signed now."""
        return self._alipay(notice, faults) if provider == "alipay" else self._wechat(notice, faults)

    def _alipay(self, notice: NewNotice, faults: Taken) -> Letter:
        sent_ms = self.clock.now_ms - (DAY_MS if "stale" in faults else 0)
        told = {**notice.content, "notify_time": beijing(sent_ms)}
        if "change" in faults:
            told[faults.option("change", "field", "app_id")] = str(faults.option("change", "value", "2021000000000000"))
        key = self.keys.stranger if "wrong_key" in faults else self.keys.alipay
        signed = alipay_wire.noticed(told, key)
        if "tamper" in faults:
            signed[faults.option("tamper", "field", "total_amount")] = str(faults.option("tamper", "value", "0.01"))
        if "sign_type" in faults:
            signed["sign_type"] = "RSA"
        if "probe" in faults:
            signed["sign"] = wechat_wire.PROBE + signed["sign"][len(wechat_wire.PROBE) :]
        if "unsigned" in faults:
            del signed["sign"]
        pairs = list(signed.items())
        if "repeat" in faults:
            pairs.append(
                (faults.option("repeat", "field", "total_amount"), str(faults.option("repeat", "value", "0.01")))
            )
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        return Letter(headers=headers, body=urlencode(pairs).encode())

    def _wechat(self, notice: NewNotice, faults: Taken) -> Letter:
        body = self._sealed(notice, faults)
        serial, key = self.keys.wechat_signer(self.mode)
        seconds = self.clock.wire_ms // 1000 - (_OLD_SECONDS if "stale" in faults else 0)
        headers = wechat_wire.signed(
            body,
            key=self.keys.stranger if "wrong_key" in faults else key,
            serial=secrets.token_hex(20).upper() if "serial" in faults else serial,
            timestamp=seconds,
            nonce=secrets.token_hex(16),
        )
        if "tamper" in faults:
            body = _with_member(
                body, faults.option("tamper", "field", "summary"), faults.option("tamper", "value", "x")
            )
        if "probe" in faults:
            signature = headers["Wechatpay-Signature"]
            headers["Wechatpay-Signature"] = wechat_wire.PROBE + signature[len(wechat_wire.PROBE) :]
        if "unsigned" in faults:
            del headers["Wechatpay-Signature"]
        return Letter(headers={"Content-Type": "application/json", **headers}, body=body)

    def _sealed(self, notice: NewNotice, faults: Taken) -> bytes:
        told = dict(notice.content)
        original, resource = str(told.pop("original_type")), json.loads(json.dumps(told.pop("resource")))
        if "change" in faults:
            _put(
                resource, str(faults.option("change", "field", "mchid")), faults.option("change", "value", "1900000000")
            )
        sealed = wechat_wire.sealed(
            resource,
            api_key=self.keys.identity.wechat_api_key.encode(),
            nonce=secrets.token_hex(6),
            associated=original,
        )
        whole = {**told, "resource_type": "encrypt-resource", "resource": {**sealed, "original_type": original}}
        body = json.dumps(whole, ensure_ascii=False).encode()
        if "repeat" in faults:
            field, value = faults.option("repeat", "field", "event_type"), faults.option("repeat", "value", "x")
            body = body[:-1] + f", {json.dumps(field)}: {json.dumps(value)}}}".encode()
        return body


def _with_member(body: bytes, name: str, value: Any) -> bytes:
    """The JSON with another value; a dot leads inside, and a damaged `resource.ciphertext` keeps its length."""
    document = json.loads(body)
    if name == "resource.ciphertext" and value == "x":
        raw = base64.b64decode(document["resource"]["ciphertext"])
        value = base64.b64encode(bytes([raw[0] ^ 1]) + raw[1:]).decode()
    _put(document, name, value)
    return json.dumps(document, ensure_ascii=False).encode()


def _put(document: dict[str, Any], path: str, value: Any) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        document = document.setdefault(parent, {})
    document[name] = value
