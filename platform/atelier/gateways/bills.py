"""Bills of a day: text that is unpacked and read line by line, so that the largest one needs no memory.

Both gateways sign (or hash) what they send, but a bill is large and comes from afar: it is bounded in bytes, lines and
width, nothing of it becomes a path, and a line that can't be read ends the reading, because a bill with holes compares
with nothing.
"""

import csv
import gzip
import hashlib
import io
import zipfile
import zlib
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import IO, Final, Protocol

from atelier.gateways import reading, wechat_wire
from atelier.gateways.errors import GatewayRefused, GatewayUnknown
from atelier.gateways.money import fen
from atelier.gateways.port import BillLine
from atelier.gateways.reading import Unreadable
from atelier.gateways.times import from_plain

TEXT_BYTES_MAX: Final = 1024 * 1024 * 1024
LINE_BYTES_MAX: Final = 64 * 1024
ENTRIES_MAX: Final = 16
CNY: Final = "CNY"
_CHUNK_BYTES: Final = 64 * 1024
_BROKEN = (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


class Readable(Protocol):
    """A file, packed or not."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""
        ...


class BadBill(GatewayRefused):
    """A bill that is not what the documentation says."""

    def __init__(self, what: str) -> None:
        super().__init__("bill_unreadable", f"a bill can't be read: {what}")


# -- packing


@contextmanager
def unzipped(file: IO[bytes]) -> Generator[Iterator[bytes]]:
    """The lines of the detailed bill in a zip of Alipay's. Raises BadBill, also while they are read."""
    _look_at_directory(file)
    with ExitStack() as opened:
        try:
            archive = opened.enter_context(zipfile.ZipFile(file))
            details = [one for one in archive.infolist() if _is_detailed(one)]
            if len(details) != 1:
                raise BadBill("not one detailed file")
            text = opened.enter_context(archive.open(details[0]))
        except _BROKEN as error:
            raise BadBill(type(error).__name__) from error
        yield lines(text)


@contextmanager
def unpacked(file: IO[bytes], *, sha1: str) -> Generator[Iterator[bytes]]:
    """The lines of a gzip of WeChat Pay's, whose hash is that of the text. Raises BadBill, GatewayUnknown."""
    digest = hashlib.sha1(usedforsecurity=False)
    with gzip.GzipFile(fileobj=file, mode="rb") as text:
        for chunk in _bounded(text):
            digest.update(chunk)
    if not wechat_wire.same_hash(sha1, digest.hexdigest()):
        raise GatewayUnknown("wechat: a bill with another hash than announced")
    file.seek(0)
    with gzip.GzipFile(fileobj=file, mode="rb") as text:
        yield lines(text)


def lines(text: Readable) -> Iterator[bytes]:
    """The lines without their ends: a line feed is no part of another character in UTF-8 or in GBK. Raises BadBill."""
    rest = b""
    for chunk in _bounded(text):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
        if len(rest) > LINE_BYTES_MAX:
            raise BadBill("a line without end")
    if rest:
        yield rest


def _bounded(text: Readable) -> Iterator[bytes]:
    length = 0
    while chunk := _read(text):
        length += len(chunk)
        if length > TEXT_BYTES_MAX:
            raise BadBill("too long")
        yield chunk


def _read(text: Readable) -> bytes:
    try:
        return text.read(_CHUNK_BYTES)
    except _BROKEN as error:
        raise BadBill(type(error).__name__) from error


_END, _END_BYTES, _COMMENT_BYTES_MAX, _LARGE, _LARGE_BYTES = b"PK\x05\x06", 22, 65_535, b"PK\x06\x07", 20


def _look_at_directory(file: IO[bytes]) -> None:
    """Refuse a zip with many entries before `zipfile` makes an object of each."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _END_BYTES - _COMMENT_BYTES_MAX - _LARGE_BYTES))
    tail = file.read()
    file.seek(0)
    at = tail.rfind(_END)
    entries = int.from_bytes(tail[at + 10 : at + 12], "little")
    directory = int.from_bytes(tail[at + 12 : at + 16], "little")
    is_large = _LARGE in tail[max(0, at - _LARGE_BYTES) : at]
    if at < 0 or is_large or entries > ENTRIES_MAX or directory > ENTRIES_MAX * LINE_BYTES_MAX:
        raise BadBill("no zip of a few files")


def _is_detailed(entry: zipfile.ZipInfo) -> bool:
    """Whether this file has the lines and not their sums. Names are in GBK, which `zipfile` takes for code page 437."""
    name = entry.filename
    if not entry.flag_bits & 0x800:
        name = name.encode("cp437", errors="replace").decode("gbk", errors="replace")
    is_plain = entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    return name.endswith(".csv") and "汇总" not in name and is_plain


# -- Alipay


def alipay_lines(text: Iterable[bytes]) -> Iterator[BillLine]:
    """业务明细: comments begin with #, then a line of titles, then fields that end in tabs."""
    titles: list[str] | None = None
    for raw in text:
        line = raw.decode("gb18030", errors="replace").strip()
        if not line or line.startswith("#"):
            continue
        fields = [field.strip() for field in next(csv.reader([line]))]
        if titles is None:
            titles = [_title(field) for field in fields]
            continue
        found = _alipay(_row(titles, fields))
        if found is not None:
            yield found
    if titles is None:
        raise BadBill("no titles")


def _title(text: str) -> str:
    return text.replace("(", "（").replace(")", "）")


def _alipay(row: Mapping[str, str]) -> BillLine | None:
    kind = row.get("业务类型")
    if kind not in ("交易", "退款"):
        return None
    try:
        refund_no = reading.number(row, "退款批次号/请求号") if kind == "退款" else None
        return BillLine(
            kind="payment" if refund_no is None else "refund",
            order_no=reading.number(row, "商户订单号"),
            payment_no=reading.number(row, "支付宝交易号"),
            amount_fen=reading.converted(row, "订单金额（元）", _positive_fen),
            at_ms=reading.converted(row, "完成时间", from_plain),
            refund_no=refund_no,
        )
    except Unreadable as error:
        raise BadBill(str(error)) from error


def _positive_fen(text: str) -> int:
    """Refunds have a minus in Alipay's bill."""
    return fen(text.removeprefix("-"))


# -- WeChat Pay


def wechat_lines(text: Iterable[bytes]) -> Iterator[BillLine]:
    """A line of titles, lines whose fields begin with a back-tick, and two lines of sums, which are left out."""
    titles: list[str] | None = None
    for raw in text:
        line = raw.decode("utf-8-sig", errors="replace").strip()
        if not line:
            continue
        if not line.startswith("`"):
            if titles is not None:
                return
            titles = line.split(",")
            continue
        if titles is None:
            raise BadBill("no titles")
        # Names of goods may contain commas, and nothing is quoted; only commas before a back-tick divide.
        found = _wechat(_row(titles, line[1:].split(",`")))
        if found is not None:
            yield found
    if titles is None:
        raise BadBill("no titles")


def _wechat(row: Mapping[str, str]) -> BillLine | None:
    is_refund = row.get("交易状态") != "SUCCESS"
    if is_refund and row.get("退款状态") == "FAIL":
        return None
    try:
        return BillLine(
            kind="refund" if is_refund else "payment",
            order_no=reading.number(row, "商户订单号"),
            payment_no=reading.number(row, "微信订单号"),
            amount_fen=reading.converted(row, "申请退款金额" if is_refund else "订单金额", fen),
            at_ms=reading.converted(row, "交易时间", from_plain),
            refund_no=reading.number(row, "商户退款单号") if is_refund else None,
            gateway_no=reading.number_or_none(row, "微信退款单号") if is_refund else None,
            currency=reading.number_or_none(row, "货币种类") or CNY,
        )
    except Unreadable as error:
        raise BadBill(str(error)) from error


def _row(titles: list[str], fields: list[str]) -> dict[str, str]:
    if len(fields) != len(titles):
        raise BadBill("a line of another width")
    return dict(zip(titles, fields, strict=True))
