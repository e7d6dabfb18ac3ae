"""Notices over HTTP: what is genuine is stored before it is answered, and what is not changes nothing at all."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from pydantic_core import to_json
from sqlalchemy import MetaData, select, text
from sqlalchemy.orm import Session

from atelier.contracts.messages import PAYMENTS_SETTLE
from atelier.gateways import wechat
from atelier.gateways.keys import Certificate
from atelier.gateways.port import Gateway
from atelier.gateways.wechat_wire import Merchant
from atelier.kernel.clock import now_ms
from atelier.kernel.settings import Settings
from tests.gateways import merchants
from tests.gateways.merchants import (
    API_KEY,
    EXPIRED_SERIAL,
    NOW_MS,
    OLD,
    OLD_SERIAL,
    PAID,
    PUBLIC_KEY_ID,
    STRANGER,
    alipay_client,
    alipay_notice,
    wechat_headers,
    wechat_notice,
)
from tests.payments.counter import Counter
from web import metrics
from web.app import make_app
from web.webhooks import NOTICES

ALIPAY, WECHAT = "/api/payments/webhooks/alipay", "/api/payments/webhooks/wechat"
FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
JSON = {"Content-Type": "application/json"}
on_one = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@dataclass(frozen=True)
class Sent:
    """What a gateway sends, or somebody who would like to be one."""

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def alipay(cls, changes: Mapping[str, str | None] | None = None, **how: Any) -> "Sent":
        """A notice of Alipay."""
        return cls(ALIPAY, alipay_notice(changes, **how), FORM)

    @classmethod
    def wechat(cls, content: Mapping[str, Any] | None = None, *, late: int = 0, **how: Any) -> "Sent":
        """A notice of WeChat Pay, signed now, or `late` seconds ago."""
        signing = {name: how.pop(name) for name in ("key", "serial") if name in how}
        body = wechat_notice({**PAID, **(content or {})}, **how)
        return cls(WECHAT, body, {**JSON, **wechat_headers(body, late=_elapsed() + late, **signing)})

    def but(self, *, body: bytes | None = None, **headers: str | None) -> "Sent":
        """The same with another body or other headers; `_` stands for `-`, None leaves one out."""
        changed = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        kept = {name: value for name, value in changed.items() if value is not None}
        return Sent(self.path, self.body if body is None else body, kept)


def _elapsed() -> int:
    """How much earlier than now the merchants' tests live, as a lateness that brings their headers to this moment."""
    return NOW_MS // 1000 - now_ms() // 1000


@dataclass(frozen=True)
class Site:
    """A web process with both gateways."""

    client: TestClient[Any, Any]
    counter: Counter
    schema: MetaData

    async def send(self, sent: Sent) -> ClientResponse:
        """Send it."""
        return await self.client.post(sent.path, data=sent.body, headers=sent.headers)

    def fingerprint(self) -> Mapping[str, str]:
        """What every table holds."""
        return self.counter.db.read(_fingerprint, schema=self.schema)

    def counted(self) -> Mapping[str, int]:
        """What the process says about notices: `outcome` or `outcome:reason`."""
        assert self.client.app
        (family,) = self.client.app[NOTICES].collect()
        found: dict[str, int] = {}
        for one in family.samples:
            labels = one.labels
            name = f"{labels['outcome']}:{labels['reason']}" if labels["reason"] else labels["outcome"]
            found[name] = found.get(name, 0) + int(one.value)
        return found


def _reflected(session: Session) -> MetaData:
    schema = MetaData()
    schema.reflect(session.connection())
    return schema


def _fingerprint(session: Session, *, schema: MetaData) -> dict[str, str]:
    connection, found = session.connection(), dict[str, str]()
    for table in schema.sorted_tables:
        rows = sorted(to_json([*row], bytes_mode="base64", fallback=str) for row in connection.execute(select(table)))
        digest = hashlib.sha256(b"\n".join(rows)).hexdigest()
        found[table.name] = f"{len(rows)} {digest}"
    return found


@pytest_asyncio.fixture
async def site(settings: Callable[..., Settings], counter: Counter) -> AsyncIterator[Site]:
    account = wechat.Account(
        merchant=Merchant(mchid=merchants.MCHID, serial=merchants.SERIAL, key=merchants.OURS),
        appid=merchants.APPID,
        api_key=API_KEY,
        public_key_id=PUBLIC_KEY_ID,
        public_key=merchants.THEIRS.public_key(),
        certificates=[
            Certificate(serial=OLD_SERIAL, key=OLD.public_key(), until_ms=2**50),
            Certificate(serial=EXPIRED_SERIAL, key=OLD.public_key(), until_ms=NOW_MS),
        ],
        url="https://api.mch.weixin.test",
        notify_url="https://atelier.test",
    )
    gateways: dict[str, Gateway] = {"alipay": alipay_client(), "wechat": wechat.WechatPay(account)}
    app = make_app(settings(web_relay=False), gateways=gateways)
    async with TestClient(TestServer(app)) as client:
        yield Site(client, counter, counter.db.read(_reflected))


# -- genuine


async def test_a_genuine_notice_is_stored_with_its_message_and_answered_exactly(site: Site) -> None:
    for number, (sent, status, body) in enumerate(((Sent.alipay(), 200, b"success"), (Sent.wechat(), 204, b"")), 1):
        for _ in range(2):
            answer = await site.send(sent)
            assert (answer.status, await answer.read()) == (status, body)
            assert answer.headers.get("Content-Type", "") == ("text/plain" if body else "")
            assert len(site.counter.events()) == len(site.counter.messages(PAYMENTS_SETTLE.name)) == number
    assert site.counted() == {"stored": 2, "repeated": 2}


async def test_a_notice_says_nothing_about_the_payer_in_the_database(site: Site) -> None:
    for sent in (Sent.alipay(), Sent.wechat()):
        await site.send(sent)
    kept = str(site.counter.events())
    for secret in ("2088000000009999", PAID["payer"]["openid"], "CMC"):
        assert secret not in kept


async def test_ten_at_once_are_one(site: Site) -> None:
    answers = await asyncio.gather(*(site.send(Sent.alipay()) for _ in range(10)))
    assert {answer.status for answer in answers} == {200}
    assert len(site.counter.events()) == 1


@on_one
async def test_either_mode_of_wechat_is_believed_while_a_merchant_moves(site: Site) -> None:
    assert (await site.send(Sent.wechat(key=OLD, serial=OLD_SERIAL))).status == 204
    assert (await site.send(Sent.wechat(late=290))).status == 204, "the same event"
    assert len(site.counter.events()) == 1


@on_one
async def test_what_does_not_concern_us_is_acknowledged_and_not_kept(site: Site) -> None:
    before = site.fingerprint()
    opened = await site.send(Sent.alipay({"trade_status": "WAIT_BUYER_PAY"}))
    assert (opened.status, await opened.read()) == (200, b"success")
    other = await site.send(Sent.wechat({"trade_state": "USERPAYING"}))
    assert other.status == 204
    assert (site.fingerprint(), site.counted()) == (before, {"ignored": 2})


@on_one
async def test_what_could_not_be_stored_is_not_acknowledged(site: Site) -> None:
    site.counter.db.transact(_execute, "ALTER TABLE outbox RENAME TO gone")
    for sent in (Sent.alipay(), Sent.wechat()):
        answer = await site.send(sent)
        assert answer.status == 500
        assert b"success" not in await answer.read()
    site.counter.db.transact(_execute, "ALTER TABLE gone RENAME TO outbox")
    assert site.counter.events() == []
    assert (await site.send(Sent.alipay())).status == 200


def _execute(session: Session, statement: str) -> None:
    session.execute(text(statement))


# -- forged


def _again(sent: Sent, name: str, value: str, *, first: bool) -> Sent:
    """One parameter twice, after it was signed."""
    more = urlencode({name: value}).encode()
    return sent.but(body=more + b"&" + sent.body if first else sent.body + b"&" + more)


def forgeries() -> dict[str, tuple[Sent, str]]:
    """Each with what gives it away."""
    good, paid = Sent.alipay(), Sent.wechat()
    found: dict[str, tuple[Sent, str]] = {
        "alipay: a stranger's key": (Sent.alipay(key=STRANGER), "sign"),
        "alipay: the merchant's own key": (Sent.alipay(key=merchants.OURS), "sign"),
        "alipay: another application": (Sent.alipay({"app_id": "2021000000000001"}), "app_id"),
        "alipay: no application": (Sent.alipay({"app_id": None}), "app_id"),
        "alipay: another merchant": (Sent.alipay({"seller_id": "2088000000000002"}), "seller_id"),
        "alipay: no merchant": (Sent.alipay({"seller_id": None}), "seller_id"),
        "alipay: an older kind of signature": (good.but(body=good.body.replace(b"RSA2", b"RSA")), "sign_type"),
        "alipay: another charset": (Sent.alipay({"charset": "gbk"}), "charset"),
        "alipay: no amount": (Sent.alipay({"total_amount": None}), "shape"),
        "alipay: an amount with three decimals": (Sent.alipay({"total_amount": "9.900"}), "shape"),
        "alipay: a negative amount": (Sent.alipay({"total_amount": "-9.90"}), "shape"),
        "alipay: no order": (Sent.alipay({"out_trade_no": None}), "shape"),
        "alipay: no number of the payment": (Sent.alipay({"trade_no": None}), "shape"),
        "alipay: nothing": (good.but(body=b""), "sign_type"),
        "alipay: no form": (good.but(body=b"\xff\xfe{}"), "form"),
        "wechat: a stranger's key": (Sent.wechat(key=STRANGER), "sign"),
        "wechat: an unknown serial number": (Sent.wechat(serial="5157F09EFDC096DE15EBE81A47057A73"), "serial"),
        "wechat: a certificate that has ended": (Sent.wechat(key=OLD, serial=EXPIRED_SERIAL), "serial"),
        "wechat: too old": (Sent.wechat(late=301), "stale"),
        "wechat: from the future": (Sent.wechat(late=-302), "stale"),
        "wechat: another merchant": (Sent.wechat({"mchid": "1900000002"}), "mchid"),
        "wechat: another application": (Sent.wechat({"appid": "wx0000000000000000"}), "appid"),
        "wechat: another seal": (Sent.wechat(api_key=API_KEY[::-1]), "seal"),
        "wechat: no amount": (Sent.wechat({"amount": {}}), "shape"),
        "wechat: changed on its way": (paid.but(body=paid.body.replace(b"EV-2018", b"EV-2019")), "sign"),
        "wechat: cut short": (paid.but(body=paid.body[:-1]), "sign"),
        "wechat: of another moment": (paid.but(Wechatpay_Nonce="other"), "sign"),
        "wechat: another scheme": (paid.but(Wechatpay_Signature_Type="WECHATPAY2-SHA256-RSA1024"), "scheme"),
        "wechat: nothing": (paid.but(body=b""), "sign"),
    }
    for name, value in (("total_amount", "0.01"), ("out_trade_no", "x"), ("sign", "x"), ("app_id", merchants.APP_ID)):
        for first in (True, False):
            found[f"alipay: {name} twice, {first}"] = (_again(good, name, value, first=first), "duplicate")
    for part in (b"total_amount=9.90", b"out_trade_no=A", b"trade_status=TRADE_SUCCESS", b"seller_id=2088"):
        found[f"alipay: changed {part!r}"] = (good.but(body=good.body.replace(part, part + b"0")), "sign")
    for name in ("Timestamp", "Serial", "Signature"):
        by = {"Timestamp": "timestamp", "Serial": "serial", "Signature": "sign"}[name]
        found[f"wechat: no {name}"] = (paid.but(**{f"Wechatpay_{name}": None}), by)
    return found


async def test_a_forgery_changes_nothing_and_is_counted_by_what_gave_it_away(
    site: Site, subtests: pytest.Subtests
) -> None:
    before = site.fingerprint()
    for name, (sent, by) in forgeries().items():
        counted = site.counted().get(f"forged:{by}", 0)
        with subtests.test(name):
            answer = await site.send(sent)
            assert answer.status == 400
            if sent.path == ALIPAY:
                assert await answer.read() == b"fail"
            else:
                assert await answer.json() == {"code": "FAIL", "message": "not genuine"}
            assert site.counted()[f"forged:{by}"] == counted + 1
    assert site.fingerprint() == before
    assert site.counter.events() == []


@on_one
async def test_a_probe_is_refused_quietly_and_a_flood_of_forgeries_is_one_line(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    probe = Sent.wechat().but(Wechatpay_Signature="WECHATPAY/SIGNTEST/" + "A" * 325)
    assert (await site.send(probe)).status == 400
    assert site.counted() == {"forged:probe": 1}
    assert "webhook" not in capsys.readouterr().out
    for _ in range(5):
        await site.send(Sent.alipay(key=STRANGER))
    told = capsys.readouterr().out
    assert told.count("webhook.forged") == 1
    assert "total_amount" not in told


@on_one
async def test_only_bodies_of_the_right_kind_and_size_are_read(site: Site) -> None:
    before = site.fingerprint()
    for sent, status in (
        (Sent.alipay().but(Content_Type="application/json"), 415),
        (Sent.alipay().but(Content_Type="multipart/form-data; boundary=x"), 415),
        (Sent.wechat().but(Content_Type="text/plain"), 415),
        (Sent.alipay().but(body=b"a=" + b"b" * 70_000), 413),
        (Sent.wechat().but(body=b"{" + b" " * 70_000), 413),
        (Sent.alipay().but(body=b"a=1&" * 15_000), 400),
    ):
        assert (await site.send(sent)).status == status
    assert site.fingerprint() == before


@on_one
async def test_a_gateway_that_is_not_set_up_sends_nothing_that_is_believed(
    settings: Callable[..., Settings], counter: Counter
) -> None:
    async with TestClient(TestServer(make_app(settings()))) as client:
        for sent in (Sent.alipay(), Sent.wechat()):
            answer = await client.post(sent.path, data=sent.body, headers=sent.headers)
            assert answer.status == 400
    assert counter.events() == []


@on_one
async def test_the_figures_are_shown(site: Site) -> None:
    await site.send(Sent.alipay())
    await site.send(Sent.alipay(key=STRANGER))
    assert site.client.app
    registry = metrics.registry(site.client.app[NOTICES])
    labels = {"provider": "alipay", "outcome": "forged", "reason": "sign"}
    assert registry.get_sample_value("atelier_payment_notices_total", labels) == 1
