"""What Alipay's methods do. Parameters are those of `biz_content`; answers are without code and signature."""

import re
from collections.abc import Mapping
from typing import Any, Final

from atelier.gateways import money
from atelier.gateways.money import BadAmount
from sandbox import alipay_messages
from sandbox.bills import Bills, NoBill
from sandbox.clock import DAY_MS, HOUR_MS, MINUTE_MS, Clock, from_beijing
from sandbox.till import Till, Wanted
from sandbox.trade import Trade

_ORDER_NO: Final = re.compile(r"[0-9A-Za-z_]{1,64}")
_EXPRESS: Final = re.compile(r"([1-9][0-9]{0,4})([mhd])")
_UNITS: Final = {"m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}
_LASTS_MS: Final = 15 * DAY_MS
_PRODUCTS: Final = {"page": "FAST_INSTANT_TRADE_PAY", "wap": "QUICK_WAP_WAY"}
_FEN_MAX: Final = 100_000_000 * 100


class Refused(Exception):
    """The gateway says no: `code` and `msg` of the envelope, and why."""

    def __init__(self, code: str, sub_code: str, sub_msg: str, *, message: str = "") -> None:
        super().__init__(sub_code)
        self._content = {
            "code": code,
            "msg": message or ("Business Failed" if code == "40004" else "Invalid Arguments"),
            "sub_code": sub_code,
            "sub_msg": sub_msg,
        }

    def content(self) -> dict[str, str]:
        """As it is answered."""
        return dict(self._content)


class Methods:
    """The methods, on the books that both gateways share. `url` is where payers find the cashier."""

    def __init__(self, till: Till, *, bills: Bills, url: str) -> None:
        self.bills = bills
        self._till = till
        self._clock: Clock = till.clock
        self._url = url

    def pay_page(self, given: Mapping[str, str], biz: Mapping[str, Any], *, channel: str) -> Trade:
        """The trade whose cashier page is shown."""
        if biz.get("product_code") != _PRODUCTS[channel]:
            raise _invalid("product_code")
        return self._placed(given, biz, channel)

    def precreate(self, given: Mapping[str, str], biz: Mapping[str, Any]) -> dict[str, str]:
        """The text of a QR code."""
        trade = self._placed(given, biz, "qr")
        return {"out_trade_no": trade.order_no, "qr_code": f"{self._url}/cashier/{trade.token}"}

    def query(self, biz: Mapping[str, Any]) -> dict[str, str]:
        """What became of a trade."""
        trade = self._found(biz)
        return alipay_messages.queried(trade, self._till.state(trade))

    def close(self, biz: Mapping[str, Any]) -> dict[str, str]:
        """Close it."""
        trade = self._till.close(self._found(biz))
        return {"out_trade_no": trade.order_no, "trade_no": trade.trade_no}

    def refund(self, biz: Mapping[str, Any], *, held: bool) -> dict[str, str]:
        """Pay back: once for each `out_request_no`, which is the order's number where none is given."""
        trade = self._found(biz)
        trade, refund, new = self._till.refund(
            trade,
            refund_no=str(biz.get("out_request_no") or trade.order_no),
            amount_fen=_fen(biz, "refund_amount"),
            reason=str(biz.get("refund_reason", "")),
            end="" if held else "SUCCESS",
        )
        return alipay_messages.refunded(trade, refund, moved=new and not held)

    def query_refund(self, biz: Mapping[str, Any]) -> dict[str, str]:
        """What became of a refund."""
        trade, number = self._found(biz), biz.get("out_request_no")
        if not isinstance(number, str) or not number:
            raise _invalid("out_request_no")
        found = next((one for one in trade.refunds if one.refund_no == number), None)
        return alipay_messages.queried_refund(trade, found)

    def bill(self, biz: Mapping[str, Any]) -> dict[str, str]:
        """Where a day's bill is, for half a minute."""
        if biz.get("bill_type") not in {"trade", "signcustomer"}:
            raise _invalid("bill_type")
        try:
            made = self.bills.make("alipay", str(biz.get("bill_date", "")))
        except NoBill as error:
            raise Refused("40004", "isp.bill_not_exist", "账单不存在") from error
        except ValueError as error:
            raise Refused("40004", "isv.invalid-arguments", "bill_date") from error
        return {"bill_download_url": f"{self._url}/alipay/bill/{made.token}"}

    def _placed(self, given: Mapping[str, str], biz: Mapping[str, Any], channel: str) -> Trade:
        number, subject = biz.get("out_trade_no"), biz.get("subject")
        if not isinstance(number, str) or not _ORDER_NO.fullmatch(number):
            raise _invalid("out_trade_no")
        if not isinstance(subject, str) or not 0 < len(subject) <= 256 or set(subject) & set("/=&"):
            raise _invalid("subject")
        return self._till.place(
            Wanted(
                provider="alipay",
                order_no=number,
                amount_fen=_fen(biz, "total_amount"),
                subject=subject,
                channel=channel,
                notify_url=given.get("notify_url", ""),
                return_url=given.get("return_url", ""),
                expires_ms=self._expiry(biz),
            )
        )

    def _expiry(self, biz: Mapping[str, Any]) -> int:
        now_ms = self._clock.now_ms
        if "time_expire" in biz:
            try:
                expires_ms = from_beijing(str(biz["time_expire"]))
            except ValueError as error:
                raise _invalid("time_expire") from error
            if not now_ms < expires_ms <= now_ms + _LASTS_MS:
                raise _invalid("time_expire")
            return expires_ms
        found = _EXPRESS.fullmatch(str(biz.get("timeout_express", "15d")))
        lasts_ms = int(found[1]) * _UNITS[found[2]] if found else 0
        if not 0 < lasts_ms <= _LASTS_MS:
            raise _invalid("timeout_express")
        return now_ms + lasts_ms

    def _found(self, biz: Mapping[str, Any]) -> Trade:
        order_no, trade_no = biz.get("out_trade_no") or "", biz.get("trade_no") or ""
        if not isinstance(order_no, str) or not isinstance(trade_no, str) or not (order_no or trade_no):
            raise _invalid("out_trade_no")
        return self._till.find("alipay", order_no=order_no, trade_no=trade_no)


def _fen(biz: Mapping[str, Any], name: str) -> int:
    try:
        found = money.fen(str(biz.get(name, "")))
    except BadAmount as error:
        raise _invalid(name) from error
    if not 0 < found <= _FEN_MAX:
        raise _invalid(name)
    return found


def _invalid(name: str) -> Refused:
    return Refused("40004", "ACQ.INVALID_PARAMETER", f"参数无效: {name}")
