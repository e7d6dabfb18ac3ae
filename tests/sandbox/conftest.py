"""A merchant who talks to the sandbox in bare signatures, and a shop that is told of payments."""

import json
import queue
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode

import httpx
import pytest
from typing_extensions import override

from atelier.gateways import alipay_wire, keys, sandbox_identity, wechat_wire
from atelier.gateways.sandbox_identity import Identity
from tests.sandbox_server import SandboxServer
from tests.servers import NO_AUTHORITIES

BEIJING = timezone(timedelta(hours=8))


def later(**span: float) -> datetime:
    return datetime.now(BEIJING) + timedelta(**span)


def number() -> str:
    return f"T{secrets.token_hex(12)}"


@dataclass(frozen=True)
class Told:
    """A notice as it arrived."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> list[tuple[str, str]]:
        return parse_qsl(self.body.decode(), keep_blank_values=True)


class Shop:
    """Where notices arrive. `answers` are used up first come, first served; then everything is taken."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self.told: queue.Queue[Told] = queue.Queue()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.shop = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/notices"

    def next(self) -> Told:
        return self.told.get(timeout=20)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    shop: Shop


class _Handler(BaseHTTPRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride] - this handler serves no other server

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        shop = self.server.shop
        status, answer = shop.answers.pop(0) if shop.answers else (200, b"success")
        shop.told.put(Told(headers=dict(self.headers.items()), body=body))
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


class Merchant:
    """Our side of both gateways, by hand."""

    shop: Shop

    def __init__(self, sandbox: SandboxServer) -> None:
        self.sandbox = sandbox
        self.identity: Identity = sandbox_identity.kept(sandbox.folder)
        self.http = httpx.Client(base_url=sandbox.url, timeout=20, trust_env=False, verify=NO_AUTHORITIES)
        self.alipay_key = sandbox_identity.loaded(self.identity.alipay_merchant_key)
        self.alipay_public = sandbox_identity.loaded(self.identity.alipay_key).public_key()
        self.wechat_key = sandbox_identity.loaded(self.identity.wechat_merchant_key)
        public = sandbox_identity.loaded(self.identity.wechat_key).public_key()
        certificates = {one.serial: keys.public_key(one.certificate) for one in self.identity.wechat_certificates}
        self.wechat_public = {self.identity.wechat_public_key_id: public, **certificates}

    # -- Alipay

    def alipay_parameters(self, method: str, biz: Mapping[str, Any], **more: str) -> dict[str, str]:
        common = {
            "app_id": self.identity.alipay_app_id,
            "method": method,
            "format": "JSON",
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": f"{later():%Y-%m-%d %H:%M:%S}",
            "version": "1.0",
            "notify_url": self.shop.url,
            "biz_content": json.dumps(biz),
        }
        return alipay_wire.signed({**common, **more}, self.alipay_key)

    def alipay(self, method: str, **biz: Any) -> dict[str, Any]:
        answer = self.http.post("/alipay/gateway.do", data=self.alipay_parameters(method, biz))
        return alipay_wire.answer(answer.text, method=method, key=self.alipay_public)

    def page(self, order_no: str, *, amount: str = "9.90", **more: Any) -> str:
        """The address of a page pay."""
        biz = {"out_trade_no": order_no, "total_amount": amount, "subject": "100 积分", **more}
        biz.setdefault("product_code", "FAST_INSTANT_TRADE_PAY")
        extra = {"return_url": biz.pop("return_url")} if "return_url" in biz else {}
        parameters = self.alipay_parameters("alipay.trade.page.pay", biz, **extra)
        return f"{self.sandbox.url}/alipay/gateway.do?{urlencode(parameters)}"

    def alipay_notice(self, told: Told) -> dict[str, str]:
        return alipay_wire.notice(told.form, self.alipay_public)

    # -- WeChat Pay

    def wechat(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """A signed call, whose answer's signature is verified."""
        raw = b"" if body is None else json.dumps(body).encode()
        answer = self.http.request(method, path, content=raw, headers=self.wechat_headers(method, path, raw) | headers)
        now = int(datetime.now(UTC).timestamp())
        wechat_wire.verify(answer.headers, answer.content, platform=self.wechat_public, now=now)
        return answer

    def wechat_headers(self, method: str, path: str, body: bytes) -> dict[str, str]:
        signer = wechat_wire.Merchant(
            mchid=self.identity.wechat_mchid, serial=self.identity.wechat_serial, key=self.wechat_key
        )
        seconds, nonce = int(datetime.now(UTC).timestamp()), secrets.token_hex(8)
        signed = wechat_wire.authorization(signer, method=method, path=path, body=body, timestamp=seconds, nonce=nonce)
        kind = {"Content-Type": "application/json"} if body else {}
        return {"Authorization": signed, "Accept": "application/json", **kind}

    def order(self, order_no: str, *, fen: int = 990, **more: Any) -> dict[str, Any]:
        """The body of a native order."""
        return {
            "appid": self.identity.wechat_appid,
            "mchid": self.identity.wechat_mchid,
            "description": "100 积分",
            "out_trade_no": order_no,
            "notify_url": self.shop.url,
            "amount": {"total": fen, "currency": "CNY"},
            **more,
        }

    def native(self, order_no: str, **more: Any) -> str:
        """The text of its QR code."""
        answer = self.wechat("POST", "/v3/pay/transactions/native", self.order(order_no, **more))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["code_url"])

    def wechat_query(self, order_no: str) -> dict[str, Any]:
        path = f"/v3/pay/transactions/out-trade-no/{order_no}?mchid={self.identity.wechat_mchid}"
        found: dict[str, Any] = self.wechat("GET", path).json()
        return found

    def wechat_notice(self, told: Told) -> dict[str, Any]:
        now = int(datetime.now(UTC).timestamp())
        wechat_wire.verify(told.headers, told.body, platform=self.wechat_public, now=now)
        resource = json.loads(told.body)["resource"]
        return wechat_wire.opened(resource, api_key=self.identity.wechat_api_key.encode())


@pytest.fixture
def shop() -> Iterator[Shop]:
    """Takes notices."""
    with Shop() as made:
        yield made


@pytest.fixture(scope="session")
def shared_merchant(shared_sandbox: SandboxServer) -> Iterator[Merchant]:
    """The merchant of the shared sandbox, who knows its keys already."""
    made = Merchant(shared_sandbox)
    yield made
    made.http.close()


@pytest.fixture
def merchant(shared_merchant: Merchant, sandbox: SandboxServer, shop: Shop) -> Merchant:
    """The merchant of the shared sandbox, with a shop of the test's own."""
    assert shared_merchant.sandbox is sandbox
    shared_merchant.shop = shop
    return shared_merchant
