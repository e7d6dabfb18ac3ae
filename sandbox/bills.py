"""A day's bill, from the books: for Alipay a zip of GBK tables, for WeChat Pay one table with back-ticks."""

import gzip
import hashlib
import io
import secrets
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from atelier.gateways.money import yuan
from atelier.gateways.sandbox_identity import Identity
from sandbox.books import Books
from sandbox.clock import DAY_MS, HOUR_MS, SECOND_MS, Clock, beijing, day_of
from sandbox.trade import Provider
from sandbox.wechat_messages import TRADE_TYPES

# Bills are there at ten o'clock on the next day, and their addresses are good for half a minute.
READY_MS: Final = 10 * HOUR_MS
_LINK_MS: Final = 30 * SECOND_MS
_RULE: Final = "#-----------------------------------------业务明细列表"
_ALIPAY: Final = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,商家实收（元）,"
    "支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,"
    "退款批次号/请求号,服务费（元）,分润（元）,备注"
)
_WECHAT: Final = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,"
    "微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注"
)
_WECHAT_TOTALS: Final = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"


class NoBill(Exception):
    """There is none: nothing was booked on that day, or it is too early. `early` says which."""

    def __init__(self, *, early: bool) -> None:
        super().__init__("early" if early else "empty")
        self.early = early


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """A bill that can be fetched for a while. `digest` is the SHA-1 of the table, before it is compressed."""

    token: str
    provider: Provider
    data: bytes
    digest: str
    until_ms: int


class Bills:
    """The bills of a sandbox. Those that can be fetched are kept in memory: their addresses end with it."""

    def __init__(self, books: Books, *, clock: Clock, identity: Callable[[], Identity]) -> None:
        self._books = books
        self._clock = clock
        self._identity = identity
        self._made: dict[str, Bill] = {}

    def make(self, provider: Provider, day: str, *, packed: bool = True) -> Bill:
        """A bill and its address. Raises NoBill, and ValueError for what is no day."""
        begin_ms, end_ms = day_of(day)
        now_ms = self._clock.now_ms
        if now_ms < end_ms + READY_MS:
            raise NoBill(early=True)
        lines = self._books.day(provider, begin_ms=begin_ms, end_ms=end_ms)
        first = next(lines, None)
        if first is None:
            raise NoBill(early=False)
        rows = _chained(first, lines)
        identity = self._identity()
        table = _alipay(rows, identity, day, now_ms) if provider == "alipay" else _wechat(rows, identity)
        data = table
        if provider == "alipay":
            data = _zipped(table, f"{identity.alipay_seller_id}_{day.replace('-', '')}")
        elif packed:
            data = gzip.compress(table, compresslevel=1)
        made = Bill(
            token=secrets.token_urlsafe(24),
            provider=provider,
            data=data,
            digest=hashlib.sha1(table, usedforsecurity=False).hexdigest(),
            until_ms=now_ms + _LINK_MS,
        )
        self._made = {token: bill for token, bill in self._made.items() if bill.until_ms > now_ms}
        self._made[made.token] = made
        return made

    def read(self, token: str, *, provider: Provider) -> bytes | None:
        """The bytes behind an address, as long as it is good."""
        found = self._made.get(token)
        good = found is not None and found.provider == provider and found.until_ms > self._clock.now_ms
        return found.data if found is not None and good else None

    def is_too_old(self, day: str) -> bool:
        """Whether WeChat Pay has it no more. Raises ValueError."""
        return day_of(day)[0] < self._clock.now_ms - 92 * DAY_MS


def _chained(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def _alipay(rows: Iterator[Any], identity: Identity, day: str, now_ms: int) -> bytes:
    out = io.StringIO()
    begin, end = (f"{at[:4]}年{at[5:7]}月{at[8:10]}日 00:00:00" for at in map(beijing, day_of(day)))
    out.write(f"#支付宝业务明细查询\r\n#账号：[{identity.alipay_seller_id}]\r\n")
    out.write(f"#起始日期：[{begin}]   终止日期：[{end}]\r\n")
    out.write(f"{_RULE}----------------------------------------\r\n{_ALIPAY}\r\n")
    sums, counts = {False: 0, True: 0}, {False: 0, True: 0}
    for row, is_refund in rows:
        sums[is_refund] += row["amount_fen"]
        counts[is_refund] += 1
        out.write(",".join(_alipay_line(row, is_refund=is_refund)) + "\r\n")
    out.write(f"{_RULE}结束------------------------------------\r\n")
    out.write(f"#交易合计：{counts[False]}笔，商家实收共{yuan(sums[False])}元，商家优惠共0.00元\r\n")
    out.write(
        f"#退款合计：{counts[True]}笔，商家实收退款共{_signed(sums[True], minus=True)}元，商家优惠退款共0.00元\r\n"
    )
    out.write(f"#导出时间：[{beijing(now_ms)}]\r\n")
    return out.getvalue().encode("gbk", "replace")


def _alipay_line(row: Any, *, is_refund: bool) -> Iterator[str]:
    amount, kind = _signed(row["amount_fen"], minus=is_refund), "退款" if is_refund else "交易"
    done = beijing(row["at_ms"])
    # Numbers and times end with a tab, so that a spreadsheet takes them for text.
    yield from (f"{row['payment_no']}\t", f"{row['order_no']}\t", kind, _quoted(row["subject"]))
    yield from (f"{beijing(row['created_ms'])}\t", f"{done}\t", "\t", "\t", "\t", "\t", "*三(san***@example.com)\t")
    yield from (amount, amount, "0.00", "0.00", "0.00", "0.00", "0.00", "\t", "0.00", "0.00")
    yield f"{row['refund_no']}\t" if is_refund else "\t"
    yield from (_signed(_fee(row["amount_fen"]), minus=not is_refund), "0.00", "\t")


class _OldName(zipfile.ZipInfo):
    """A file whose name is written as Alipay writes it: in GBK, without saying so."""

    # Not in anybody's stubs, but what ZipInfo.FileHeader and ZipFile ask in every version of Python so far.
    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 - its name
        return self.filename.encode("gbk"), self.flag_bits


def _zipped(table: bytes, name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for kind, data in (("业务明细", table), ("业务明细(汇总)", "#支付宝业务汇总查询\r\n".encode("gbk"))):
            entry = _OldName(f"{name}_{kind}.csv")
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return out.getvalue()


def _wechat(rows: Iterator[Any], identity: Identity) -> bytes:
    out = io.StringIO()
    out.write(f"\ufeff{_WECHAT}\r\n")
    sums, count = {False: 0, True: 0}, 0
    fees = 0
    for row, is_refund in rows:
        sums[is_refund] += row["amount_fen"]
        fees += -_fee(row["amount_fen"]) if is_refund else _fee(row["amount_fen"])
        count += 1
        out.write(",".join(f"`{one}" for one in _wechat_line(row, identity, is_refund=is_refund)) + "\r\n")
    paid, back = yuan(sums[False]), yuan(sums[True])
    totals = (str(count), paid, back, "0.00", _signed(abs(fees), minus=fees < 0), paid, back)
    out.write(f"{_WECHAT_TOTALS}\r\n" + ",".join(f"`{one}" for one in totals) + "\r\n")
    return out.getvalue().encode()


def _wechat_line(row: Any, identity: Identity, *, is_refund: bool) -> Iterator[str]:
    amount = yuan(row["amount_fen"])
    yield from (beijing(row["at_ms"]), identity.wechat_appid, identity.wechat_mchid, "0", "", row["payment_no"])
    yield from (row["order_no"], row["buyer"], TRADE_TYPES[row["channel"]], "REFUND" if is_refund else "SUCCESS")
    yield from ("OTHERS", "CNY", "0.00" if is_refund else amount, "0.00")
    if is_refund:
        yield from (row["gateway_no"], row["refund_no"], amount, "0.00", "ORIGINAL", "SUCCESS")
    else:
        yield from ("0", "0", "0.00", "0.00", "", "")
    yield from (row["subject"].replace(",", " "), "", _signed(_fee(row["amount_fen"]), minus=is_refund), "0.60%")
    yield from ("0.00", amount, "") if is_refund else (amount, "0.00", "")


def _fee(fen: int) -> int:
    return (fen * 6 + 500) // 1000


def _signed(fen: int, *, minus: bool) -> str:
    return f"-{yuan(fen)}" if minus and fen else yuan(fen)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\r\n') else text
