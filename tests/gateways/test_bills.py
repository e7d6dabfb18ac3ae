"""Bills of both gateways: lines of any number with flat memory, and nothing that a bill contains does harm."""

import gzip
import hashlib
import io
import itertools
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import IO

import pytest

from atelier.gateways import bills
from atelier.gateways.bills import BadBill
from atelier.gateways.errors import GatewayUnknown
from atelier.gateways.port import BillLine
from tests.gateways.merchants import NOW_MS

UNCHANGED: Mapping[str, str] = {}
MEMORY_BYTES_MAX = 1536 * 1024
ALIPAY_TITLES = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,商家实收（元）,"
    "支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,"
    "退款批次号/请求号,服务费（元）,分润（元）,备注"
)
WECHAT_TITLES = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,"
    "代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注"
)


def _alipay_row(number: int, *, refund: bool = False, changes: Mapping[str, str] = UNCHANGED) -> str:
    row = dict.fromkeys(ALIPAY_TITLES.split(","), "\t")
    row |= {
        "支付宝交易号": f"20260101220014{number:014d}\t",
        "商户订单号": f"A{number:020d}\t",
        "业务类型": "退款" if refund else "交易",
        "商品名称": '"100 积分, 多"',
        "完成时间": "2026-01-01 08:00:01\t",
        "订单金额（元）": "-4.90" if refund else "9.90",
        "退款批次号/请求号": f"R{number:020d}\t" if refund else "\t",
        **changes,
    }
    return ",".join(row.values())


def _wechat_row(number: int, *, refund: bool = False, changes: Mapping[str, str] = UNCHANGED) -> str:
    row = dict.fromkeys(WECHAT_TITLES.split(","), "")
    row |= {
        "交易时间": "2026-01-01 08:00:01",
        "微信订单号": f"42000000002026{number:014d}",
        "商户订单号": f"W{number:020d}",
        "交易状态": "REFUND" if refund else "SUCCESS",
        "微信退款单号": f"5030{number:024d}" if refund else "0",
        "商户退款单号": f"R{number:020d}" if refund else "0",
        "退款状态": "SUCCESS" if refund else "",
        "商品名称": "100 积分, 多",
        "订单金额": "0.00" if refund else "9.90",
        "申请退款金额": "4.90" if refund else "0.00",
        **changes,
    }
    return ",".join(f"`{field}" for field in row.values())


def _alipay(*rows: str) -> list[BillLine]:
    text = ["#支付宝业务明细查询", "#账号：[2088]", ALIPAY_TITLES, *rows, "#列表结束", "#交易合计：1笔"]
    return list(bills.alipay_lines([f"{line}\r".encode("gbk") for line in text]))


def _wechat(*rows: str) -> list[BillLine]:
    text = [f"\ufeff{WECHAT_TITLES}", *rows, "总交易单数,应结订单总金额", "`2,`9.90"]
    return list(bills.wechat_lines([f"{line}\r".encode() for line in text]))


def _payment(start: str, number: str) -> BillLine:
    return BillLine(
        kind="payment",
        order_no=f"{start}{1:020d}",
        payment_no=f"{number}{1:014d}",
        amount_fen=990,
        at_ms=NOW_MS + 1_000,
    )


def _refund(start: str, number: str, gateway_no: str | None = None) -> BillLine:
    return BillLine(
        kind="refund",
        order_no=f"{start}{1:020d}",
        payment_no=f"{number}{1:014d}",
        amount_fen=490,
        at_ms=NOW_MS + 1_000,
        refund_no=f"R{1:020d}",
        gateway_no=gateway_no,
    )


# -- lines


def test_a_bill_of_alipay() -> None:
    assert _alipay(_alipay_row(1), _alipay_row(1, refund=True)) == [
        _payment("A", "20260101220014"),
        _refund("A", "20260101220014"),
    ]


def test_a_bill_of_wechat() -> None:
    assert _wechat(_wechat_row(1), _wechat_row(1, refund=True)) == [
        _payment("W", "42000000002026"),
        _refund("W", "42000000002026", f"5030{1:024d}"),
    ]


def test_a_bill_of_wechat_says_in_which_currency() -> None:
    (line,) = _wechat(_wechat_row(1, changes={"货币种类": "USD"}))
    assert (line.amount_fen, line.currency) == (990, "USD")


def test_what_moved_no_money_is_left_out() -> None:
    assert _alipay(_alipay_row(1, changes={"业务类型": "转账"})) == []
    assert _wechat(_wechat_row(1, refund=True, changes={"退款状态": "FAIL"})) == []
    assert _wechat() == []
    assert _alipay() == []


@pytest.mark.parametrize(
    "rows",
    [
        [_alipay_row(1, changes={"商户订单号": ""})],
        [_alipay_row(1, changes={"订单金额（元）": "9,90"})],
        [_alipay_row(1, changes={"订单金额（元）": "--9.90"})],
        [_alipay_row(1, changes={"完成时间": "soon"})],
        [_alipay_row(1, refund=True, changes={"退款批次号/请求号": ""})],
        [_alipay_row(1) + ",more"],
        ["only"],
    ],
)
def test_a_line_of_alipay_that_can_not_be_read_ends_the_reading(rows: list[str]) -> None:
    with pytest.raises(BadBill):
        _alipay(*rows)


@pytest.mark.parametrize(
    "rows",
    [
        [_wechat_row(1, changes={"商户订单号": ""})],
        [_wechat_row(1, changes={"订单金额": "9.901"})],
        [_wechat_row(1, changes={"交易时间": "2026-01-01"})],
        [_wechat_row(1, refund=True, changes={"商户退款单号": ""})],
        [_wechat_row(1) + ",`more"],
        ["`only"],
    ],
)
def test_a_line_of_wechat_that_can_not_be_read_ends_the_reading(rows: list[str]) -> None:
    with pytest.raises(BadBill):
        _wechat(*rows)


@pytest.mark.parametrize("read", [bills.alipay_lines, bills.wechat_lines])
@pytest.mark.parametrize("text", [[], [b""], [b"#"]])
def test_a_bill_without_titles_is_none(read: Callable[[list[bytes]], Iterator[BillLine]], text: list[bytes]) -> None:
    if text == [b"#"] and read is bills.wechat_lines:
        text = [b"`1"]
    with pytest.raises(BadBill):
        list(read(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", []),
        (b"a", [b"a"]),
        (b"a\nb\n", [b"a", b"b"]),
        (b"a\n\nb", [b"a", b"", b"b"]),
        (b"x" * 65_530 + b"\n" + b"y" * 65_530, [b"x" * 65_530, b"y" * 65_530]),
    ],
    ids=range(5),
)
def test_lines_are_divided_where_they_end(text: bytes, expected: list[bytes]) -> None:
    assert list(bills.lines(io.BytesIO(text))) == expected


def test_a_line_without_end_is_refused() -> None:
    with pytest.raises(BadBill, match="a line without end"):
        list(bills.lines(io.BytesIO(b"x" * 200_000)))


class _Endless:
    """A text that never ends, and takes no room."""

    def __init__(self) -> None:
        self.given = 0
        self._line = b""

    def read(self, size: int, /) -> bytes:
        self.given += size
        self._line = self._line or b"x" * (size - 1) + b"\n"
        return self._line


def test_a_text_without_end_is_refused() -> None:
    text = _Endless()
    with pytest.raises(BadBill, match="too long"):
        list(itertools.islice(bills.lines(text), 0, None, 100_000))
    assert bills.TEXT_BYTES_MAX < text.given < 2 * bills.TEXT_BYTES_MAX


# -- packing


def _zip(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return made


GOOD = ("2088_20260101_业务明细.csv", b"a\nb")
SUMS = ("2088_20260101_业务明细(汇总).csv", b"sums")


def _many(count: int, *, said: int | None = None) -> io.BytesIO:
    made = _zip(*((f"{number}.csv", b"") for number in range(count)))
    if said is not None:
        raw = bytearray(made.getvalue())
        at = raw.rindex(b"PK\x05\x06")
        raw[at + 8 : at + 12] = said.to_bytes(2, "little") * 2
        made = io.BytesIO(raw)
    return made


def test_the_detailed_file_is_taken_whatever_it_is_called() -> None:
    for name in ("2088_业务明细.csv", "../../etc/业务明细.csv", "/etc/passwd.csv"):
        with bills.unzipped(_zip((name, b"a\nb"), SUMS)) as lines:
            assert list(lines) == [b"a", b"b"]


def test_names_in_gbk_without_a_flag_are_understood() -> None:
    raw = _zip(("AAAAAAAA.csv", b"a"), ("BBBBBBBB(CCCC).csv", b"sums")).getvalue()
    for plain, named in ((b"AAAAAAAA", "业务明细"), (b"BBBBBBBB", "业务明细"), (b"CCCC", "汇总")):
        raw = raw.replace(plain, named.encode("gbk"))
    with bills.unzipped(io.BytesIO(raw)) as lines:
        assert list(lines) == [b"a"]


BAD_ZIPS: dict[str, Callable[[], IO[bytes]]] = {
    "nothing": io.BytesIO,
    "no zip": lambda: io.BytesIO(b"x" * 100),
    "no file": _zip,
    "no detailed file": lambda: _zip(SUMS),
    "two of them": lambda: _zip(GOOD, ("other.csv", b"")),
    "another kind": lambda: _zip(("bill.xlsx", b"")),
    "another packing": lambda: _zip(GOOD, method=zipfile.ZIP_LZMA),
    "many": lambda: _many(100),
    "many that say they are few": lambda: _many(5_000, said=1),
    "broken": lambda: io.BytesIO(_zip(GOOD).getvalue().replace(b"PK\x03\x04", b"PK\x03\x05")),
}


@pytest.mark.parametrize("how", BAD_ZIPS)
def test_what_is_no_zip_of_a_bill(how: str) -> None:
    with pytest.raises(BadBill), bills.unzipped(BAD_ZIPS[how]()):
        pass


def test_damage_is_found_at_the_end_at_the_latest() -> None:
    raw = bytearray(_zip(GOOD, method=zipfile.ZIP_STORED).getvalue())
    raw[raw.index(b"a\nb")] = ord("x")
    with bills.unzipped(io.BytesIO(raw)) as lines, pytest.raises(BadBill, match="BadZipFile"):
        list(lines)


def test_what_a_reader_raises_is_its_own() -> None:
    with pytest.raises(RuntimeError, match="mine"), bills.unzipped(_zip(GOOD)):
        raise RuntimeError("mine")
    packed = io.BytesIO(gzip.compress(b"a", mtime=0))
    with pytest.raises(EOFError, match="mine"), bills.unpacked(packed, sha1=_sha1(b"a")):
        raise EOFError("mine")


def _sha1(text: bytes) -> str:
    return hashlib.sha1(text, usedforsecurity=False).hexdigest()


def test_a_gzip_has_the_hash_of_its_text() -> None:
    packed = gzip.compress(b"a\nb", mtime=0)
    with bills.unpacked(io.BytesIO(packed), sha1=_sha1(b"a\nb").upper()) as lines:
        assert list(lines) == [b"a", b"b"]
    with pytest.raises(GatewayUnknown), bills.unpacked(io.BytesIO(packed), sha1=_sha1(packed)):
        pass


@pytest.mark.parametrize(
    "raw", [b"x" * 100, gzip.compress(b"a" * 99, mtime=0)[:20], gzip.compress(b"a" * 99, mtime=0)[:-8] + b"\0" * 8]
)
def test_what_is_no_gzip(raw: bytes) -> None:
    with pytest.raises(BadBill), bills.unpacked(io.BytesIO(raw), sha1=_sha1(b"a" * 99)):
        pass


# -- size


def _write_alipay(file: IO[bytes], count: int) -> None:
    archive = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with archive, archive.open("业务明细.csv", "w") as text:
        text.write(f"{ALIPAY_TITLES}\r\n".encode("gbk"))
        text.writelines(f"{_alipay_row(number)}\r\n".encode("gbk") for number in range(count))


def _write_wechat(file: IO[bytes], count: int) -> None:
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as text:
        text.write(f"{WECHAT_TITLES}\r\n".encode())
        text.writelines(f"{_wechat_row(number)}\r\n".encode() for number in range(count))


@contextmanager
def _opened(file: IO[bytes], provider: str) -> Generator[Iterator[BillLine]]:
    if provider == "alipay":
        with bills.unzipped(file) as text:
            yield bills.alipay_lines(text)
    else:
        with gzip.GzipFile(fileobj=file, mode="rb") as whole:
            digest = hashlib.file_digest(whole, "sha1").hexdigest()
        file.seek(0)
        with bills.unpacked(file, sha1=digest) as text:
            yield bills.wechat_lines(text)


def _read_flat(provider: str, count: int) -> None:
    with tempfile.TemporaryFile() as file:
        (_write_alipay if provider == "alipay" else _write_wechat)(file, count)
        file.seek(0)
        tracemalloc.start()
        try:
            with _opened(file, provider) as lines:
                total = sum(line.amount_fen for line in lines)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert total == 990 * count
    assert most < MEMORY_BYTES_MAX


@pytest.mark.parametrize("provider", ["alipay", "wechat"])
def test_a_bill_needs_no_memory(provider: str) -> None:
    # Its text is larger than what may be used, and a list of its lines would be larger still.
    _read_flat(provider, 5_000)


@pytest.mark.proof
@pytest.mark.parametrize("provider", ["alipay", "wechat"])
def test_the_largest_bill_needs_no_memory(provider: str) -> None:
    _read_flat(provider, 100_000)
