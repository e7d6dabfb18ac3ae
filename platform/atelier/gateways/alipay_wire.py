"""Alipay's signatures, pure: what is signed in requests, in answers and in notices.

request   every parameter that is not empty, but `sign`; sorted, joined as k=v with & between, not encoded
answer    the exact text of the object under `alipay_…_response`, as it stands in the raw JSON
notice    every parameter that came, but `sign` and `sign_type`; decoded, sorted and joined likewise
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from atelier.gateways import keys
from atelier.gateways.errors import Forged

SIGN_TYPE = "RSA2"
CHARSETS = frozenset({"utf-8", "UTF-8", "utf8"})
# The parameters of a notice by which it is decided what it means.
DECIDING = (
    *("app_id", "seller_id", "notify_type", "trade_status", "out_trade_no", "trade_no", "total_amount"),
    *("gmt_payment", "gmt_refund", "out_biz_no", "refund_fee"),
)


def signed(parameters: Mapping[str, str], key: RSAPrivateKey) -> dict[str, str]:
    """The parameters with their signature, without those that are empty."""
    filled = {name: value for name, value in parameters.items() if value and name != "sign"}
    return {**filled, "sign": keys.sign(_joined(filled.items()), key)}


def verify_request(parameters: Sequence[tuple[str, str]], key: RSAPublicKey) -> dict[str, str]:
    """The parameters of a request that the holder of the key signed: the gateway's side. Raises Forged."""
    given = _unrepeated(parameters)
    filled = [(name, value) for name, value in given.items() if value and name != "sign"]
    if given.get("sign_type") != SIGN_TYPE or not keys.is_signed(_joined(filled), given.get("sign", ""), key):
        raise Forged("sign")
    return given


def notice(parameters: Sequence[tuple[str, str]], key: RSAPublicKey) -> dict[str, str]:
    """The parameters of a notice that Alipay signed. Raises Forged, which says by what it was noticed.

    The official code signs values as they are, also empty ones; one variant leaves those out, so both are tried.
    """
    given = _unrepeated(parameters)
    if given.get("sign_type") != SIGN_TYPE:
        raise Forged("sign_type")
    if given.get("charset", "utf-8") not in CHARSETS:
        raise Forged("charset")
    content = [(name, value) for name, value in given.items() if name not in {"sign", "sign_type"}]
    filled = [(name, value) for name, value in content if value]
    sign = given.get("sign", "")
    is_whole = keys.is_signed(_joined(content), sign, key)
    if not is_whole and (len(filled) == len(content) or not keys.is_signed(_joined(filled), sign, key)):
        raise Forged("sign")
    if _hides(content):
        raise Forged("divided")
    return given


def _hides(content: Sequence[tuple[str, str]]) -> bool:
    """Whether a parameter that decides stands within another one.

    What is signed can be divided at any of its ampersands: so the fields of a refund, say, would hide in their
    neighbours, and the same signature would be one of a payment.
    """
    given, joined = dict(content), b"&" + _joined(content)
    return any(joined.count(f"&{name}=".encode()) != (name in given) for name in DECIDING)


def answer(raw: str, *, method: str, key: RSAPublicKey) -> dict[str, Any]:
    """The object that answers `method`, from an answer that Alipay signed. Raises Forged."""
    name = f"{method.replace('.', '_')}_response"
    try:
        document: object = json.loads(raw, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise Forged("json") from error
    if not isinstance(document, dict):
        raise Forged("json")
    members = cast("dict[str, Any]", document)
    found, sign = members.get(name), members.get("sign")
    if not isinstance(found, dict) or not isinstance(sign, str):
        raise Forged("sign")
    if not keys.is_signed(_member(raw, name).encode(), sign, key):
        raise Forged("sign")
    return cast("dict[str, Any]", found)


def answered(content: Mapping[str, Any], *, method: str, key: RSAPrivateKey) -> str:
    """A signed answer: the gateway's side."""
    inner = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    name = f"{method.replace('.', '_')}_response"
    return f'{{"{name}":{inner},"sign":"{keys.sign(inner.encode(), key)}"}}'


def noticed(parameters: Mapping[str, str], key: RSAPrivateKey) -> dict[str, str]:
    """A signed notice: the gateway's side."""
    content = {**parameters, "sign_type": SIGN_TYPE}
    signed_part = [(name, value) for name, value in content.items() if name != "sign_type"]
    return {**content, "sign": keys.sign(_joined(signed_part), key)}


def _joined(pairs: Iterable[tuple[str, str]]) -> bytes:
    return "&".join(f"{name}={value}" for name, value in sorted(pairs)).encode()


def _unrepeated(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    found = dict(pairs)
    # With two values of one name, what is verified and what is believed could be different ones.
    if len(found) != len(pairs):
        raise Forged("duplicate")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Forged("duplicate")
    return found


def _member(raw: str, name: str) -> str:
    """The text of one member of the outermost object, as it stands in valid JSON."""
    decoder = json.JSONDecoder()
    place = raw.index("{") + 1
    while True:
        place = _past(raw, place, " \t\r\n,")
        found, place = decoder.raw_decode(raw, place)
        place = _past(raw, place, " \t\r\n:")
        _, end = decoder.raw_decode(raw, place)
        if found == name:
            return raw[place:end]
        place = end


def _past(raw: str, place: int, what: str) -> int:
    while raw[place] in what:
        place += 1
    return place
