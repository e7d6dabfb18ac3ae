"""What WeChat Pay's calls do. Bodies and answers are those of API v3; None answers 204."""

import base64
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final, cast
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from atelier.gateways import wechat_wire
from atelier.gateways.sandbox_identity import Identity
from sandbox import wechat_messages
from sandbox.bills import Bills, NoBill
from sandbox.clock import HOUR_MS, from_rfc3339, rfc3339
from sandbox.till import Denied, Till, Wanted
from sandbox.trade import Trade

_ORDER_NO: Final = re.compile(r"[0-9A-Za-z_\-|*]{6,32}")
_REFUND_NO: Final = re.compile(r"[0-9A-Za-z_\-|*@]{1,64}")
_LASTS_MS: Final = 7 * 24 * HOUR_MS
_LINK_LASTS_MS: Final = 2 * HOUR_MS
_FEN_MAX: Final = 100_000_000 * 100


class Refused(Exception):
    """The gateway says no, with an HTTP status and a code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Methods:
    """The calls, on the books that both gateways share. `url` is where payers find the cashier."""

    def __init__(self, till: Till, *, bills: Bills, identity: Callable[[], Identity], url: str) -> None:
        self.till = till
        self.bills = bills
        self._identity = identity
        self._url = url

    def place(self, body: Mapping[str, Any], *, channel: str) -> dict[str, Any]:
        """The text of a QR code, a page for browsers of telephones, or what WeChat itself takes."""
        identity = self._identity()
        if (body.get("appid"), body.get("mchid")) != (identity.wechat_appid, identity.wechat_mchid):
            raise Refused(400, "APPID_MCHID_NOT_MATCH", "appid和mchid不匹配")
        trade = self.till.place(self._wanted(body, channel))
        if channel == "jsapi":
            return {"prepay_id": prepay_id(trade)}
        return {"code_url" if channel == "native" else "h5_url": f"{self._url}/cashier/{trade.token}"}

    def query(self, query: Mapping[str, str], *, order_no: str = "", trade_no: str = "") -> dict[str, Any]:
        """What became of an order."""
        self._require_merchant(query)
        trade = self.till.find("wechat", order_no=order_no, trade_no=trade_no)
        if trade_no and not trade.payments:
            raise Denied("absent")  # WeChat has no number of its own before it is paid.
        return wechat_messages.queried(trade, self.till.state(trade), identity=self._identity())

    def close(self, body: Mapping[str, Any], *, order_no: str) -> None:
        """Close it."""
        self._require_merchant(body)
        self.till.close(self.till.find("wechat", order_no=order_no))

    def refund(self, body: Mapping[str, Any], *, end: str) -> dict[str, Any]:
        """Pay back, once for each `out_refund_no`. Said to be under way at first, even when it has ended meanwhile."""
        number, amount = body.get("out_refund_no"), _part(body, "amount")
        if not isinstance(number, str) or not _REFUND_NO.fullmatch(number):
            raise _wrong("out_refund_no")
        if amount.get("currency") != "CNY":
            raise _wrong("amount.currency")
        fen, total = _fen(amount, "refund"), _fen(amount, "total")
        trade = self.till.find("wechat", order_no=_text(body, "out_trade_no"), trade_no=_text(body, "transaction_id"))
        if trade.payments and total != trade.payments[0].amount_fen:
            raise Refused(400, "INVALID_REQUEST", "订单金额或退款金额与之前请求不一致，请核实后再试")
        notify_url = _text(body, "notify_url")
        if notify_url:
            _check_address(notify_url)
        trade, refund, new = self.till.refund(
            trade, refund_no=number, amount_fen=fen, reason=_text(body, "reason"), notify_url=notify_url, end=end
        )
        return wechat_messages.refund(trade, refund, state="PROCESSING" if new else refund.state)

    def query_refund(self, *, refund_no: str) -> dict[str, Any]:
        """What became of a refund."""
        found = self.till.books.find_refund(provider="wechat", refund_no=refund_no)
        if found is None:
            raise Denied("absent")
        trade, refund = found
        return wechat_messages.refund(trade, refund, state=refund.state)

    def bill(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Where a day's bill is, for half a minute, and its hash before it is compressed."""
        day = query.get("bill_date", "")
        if query.get("bill_type", "ALL") != "ALL":
            raise _wrong("bill_type")
        if query.get("tar_type", "GZIP") != "GZIP":
            raise _wrong("tar_type")
        try:
            if self.bills.is_too_old(day):
                raise Refused(400, "INVALID_REQUEST", "仅支持三个月内的账单下载申请")
            made = self.bills.make("wechat", day, packed="tar_type" in query)
        except ValueError as error:
            raise _wrong("bill_date") from error
        except NoBill as error:
            code, words = (
                ("STATEMENT_CREATING", "账单生成中") if error.early else ("NO_STATEMENT_EXIST", "账单文件不存在")
            )
            raise Refused(400, code, words) from error
        return {
            "hash_type": "SHA1",
            "hash_value": made.digest,
            "download_url": f"{self._url}/v3/billdownload/file?token={made.token}",
        }

    def certificates(self) -> dict[str, Any]:
        """The platform certificates that are good now, sealed."""
        return {"data": [self._sealed(one.serial, one.certificate) for one in self._identity().wechat_certificates]}

    def _sealed(self, serial: str, certificate: str) -> dict[str, Any]:
        nonce, associated = secrets.token_hex(6), "certificate"
        sealed = AESGCM(self._identity().wechat_api_key.encode()).encrypt(
            nonce.encode(), certificate.encode(), associated.encode()
        )
        read = x509.load_pem_x509_certificate(certificate.encode())
        return {
            "serial_no": serial,
            "effective_time": rfc3339(int(read.not_valid_before_utc.timestamp() * 1000)),
            "expire_time": rfc3339(int(read.not_valid_after_utc.timestamp() * 1000)),
            "encrypt_certificate": {
                "algorithm": wechat_wire.AEAD,
                "nonce": nonce,
                "associated_data": associated,
                "ciphertext": base64.b64encode(sealed).decode(),
            },
        }

    def _wanted(self, body: Mapping[str, Any], channel: str) -> Wanted:
        number, amount, subject = body.get("out_trade_no"), _part(body, "amount"), body.get("description")
        if not isinstance(number, str) or not _ORDER_NO.fullmatch(number):
            raise _wrong("out_trade_no")
        if not isinstance(subject, str) or not 0 < len(subject) <= 127:
            raise _wrong("description")
        if amount.get("currency", "CNY") != "CNY":
            raise _wrong("amount.currency")
        notify_url = _text(body, "notify_url")
        _check_address(notify_url)
        return Wanted(
            provider="wechat",
            order_no=number,
            amount_fen=_fen(amount, "total"),
            subject=subject,
            channel=channel,
            notify_url=notify_url,
            payer=_payer(body, channel),
            expires_ms=self._expiry(body),
        )

    def _expiry(self, body: Mapping[str, Any]) -> int:
        now_ms = self.till.clock.now_ms
        if "time_expire" not in body:
            return now_ms + (_LINK_LASTS_MS if body.get("scene_info") is None else _LASTS_MS)
        try:
            expires_ms = from_rfc3339(str(body["time_expire"]))
        except ValueError as error:
            raise _wrong("time_expire") from error
        if not now_ms < expires_ms <= now_ms + _LASTS_MS:
            raise _wrong("time_expire")
        return expires_ms

    def _require_merchant(self, given: Mapping[str, Any]) -> None:
        if given.get("mchid") != self._identity().wechat_mchid:
            raise _wrong("mchid")


def prepay_id(trade: Trade) -> str:
    """What a trade is called between WeChat and a page inside it."""
    return f"wx{trade.token}"


def _payer(body: Mapping[str, Any], channel: str) -> str:
    """The openid, for payments inside WeChat. A page for telephones needs the payer's address and says what it is."""
    if channel == "h5":
        scene = _part(body, "scene_info")
        _require_text(scene, "payer_client_ip")
        _require_text(_part(scene, "h5_info"), "type")
    return _require_text(_part(body, "payer"), "openid") if channel == "jsapi" else ""


def _check_address(url: str) -> None:
    """Notices go to https addresses without a query; in the sandbox also to this machine."""
    parts = urlsplit(url)
    is_here = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1", "localhost"}
    if not (parts.scheme == "https" or is_here) or parts.query or len(url) > 256:
        raise _wrong("notify_url")


def _part(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = body.get(name)
    if not isinstance(found, dict):
        raise _wrong(name)
    return cast("dict[str, Any]", found)


def _require_text(body: Mapping[str, Any], name: str) -> str:
    found = _text(body, name)
    if not found:
        raise _wrong(name)
    return found


def _fen(amount: Mapping[str, Any], name: str) -> int:
    found = amount.get(name)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 < found <= _FEN_MAX:
        raise _wrong(f"amount.{name}")
    return found


def _text(body: Mapping[str, Any], name: str) -> str:
    found = body.get(name) or ""
    if not isinstance(found, str):
        raise _wrong(name)
    return found


def _wrong(name: str) -> Refused:
    return Refused(400, "PARAM_ERROR", f"参数错误: {name}")
