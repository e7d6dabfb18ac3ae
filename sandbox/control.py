"""The control API: what happens in the world outside the merchant, and what goes wrong. For this machine only.

Everything is JSON. 400 for what makes no sense, 403 for whoever is elsewhere, 404 for an unknown order, 409 with the
reason when the rules of the gateways forbid it.
"""

import ipaddress
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any, Final, cast
from urllib.parse import urlsplit

from aiohttp import web

from atelier.gateways import keys
from sandbox import alipay_messages
from sandbox.faults import BadFault, Fault, Faults
from sandbox.postman import Postman
from sandbox.signing import MODES, Keys, Writer
from sandbox.till import Denied, Till
from sandbox.trade import Trade
from sandbox.wechat_methods import prepay_id

_SPEED_MAX: Final = 1_000_000.0
_ENDS: Final = frozenset({"SUCCESS", "CLOSED", "ABNORMAL"})
Body = Mapping[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Control:
    """Its routes, all below /__ctl."""

    def __init__(self, till: Till, *, own: Keys, faults: Faults, postman: Postman, writer: Writer) -> None:
        self._till = till
        self._books = till.books
        self._keys = own
        self._faults = faults
        self._postman = postman
        self._writer = writer

    def routes(self) -> list[web.RouteDef]:
        """What it serves."""
        posts: Mapping[str, Callable[[Body], Any]] = {
            "pay": self.pay,
            "open": lambda body: self._shown(self._till.open(self._trade(body))),
            "fail": lambda body: self._shown(self._till.fail(self._trade(body))),
            "close": lambda body: self._shown(self._till.close(self._trade(body))),
            "finish": lambda body: self._shown(self._till.finish(self._trade(body))),
            "waiting": self.waiting,
            "refund": self.refund,
            "end_refund": self.end_refund,
            "jsapi": self.jsapi,
            "faults": self.arm,
            "settings": self.set,
            "send": self.send,
            "rotate": lambda _body: {"certificate": self._keys.rotate()},
        }
        return [
            web.get("/__ctl/books", _guarded(lambda _body: self.books())),
            web.get("/__ctl/busy", _guarded(lambda _body: {"busy": self._postman.busy})),
            web.get("/__ctl/faults", _guarded(lambda _body: [one.shown() for one in self._faults.armed])),
            web.delete("/__ctl/faults", _guarded(self.behave)),
            web.post("/__ctl/reset", self.reset),
            *(web.post(f"/__ctl/{name}", _guarded(act)) for name, act in posts.items()),
        ]

    def books(self) -> dict[str, Any]:
        """Everything, and what it comes to."""
        trades = self._books.trades()
        totals = {
            provider: {
                "paid_fen": sum(one.paid_fen for one in trades if one.provider == provider),
                "refunded_fen": sum(one.refunded_fen for one in trades if one.provider == provider),
            }
            for provider in ("alipay", "wechat")
        }
        notices = [
            {name: value for name, value in asdict(one).items() if name != "content"} for one in self._books.notices()
        ]
        return {"trades": [self._shown(one) for one in trades], "notices": notices, "totals": totals}

    def pay(self, body: Body) -> dict[str, Any]:
        """Somebody pays, `amount_fen` instead of what is asked for; `again` and `late` against the rules."""
        amount = body.get("amount_fen")
        paid = self._till.pay(
            self._till.open(self._trade(body)),
            amount_fen=None if amount is None else int(amount),
            buyer=str(body.get("buyer", "")),
            again=bool(body.get("again")),
            late=bool(body.get("late")),
        )
        return self._shown(paid)

    def waiting(self, body: Body) -> dict[str, Any]:
        """Alipay tells that a payer looks at the trade."""
        trade = self._trade(body)
        now_ms = self._till.clock.now_ms
        self._books.announce(trade, alipay_messages.waiting_notice(trade, identity=self._keys.identity, at_ms=now_ms))
        self._postman.look()
        return self._shown(trade)

    def refund(self, body: Body) -> dict[str, Any]:
        """The merchant pays back on the gateway's own pages. WeChat tells of it if `notify` is set."""
        trade = self._trade(body)
        paid_back = self._till.refund(
            trade,
            refund_no=str(body.get("refund_no") or f"console{len(trade.refunds) + 1}{trade.order_no}")[:64],
            amount_fen=int(body.get("amount_fen", trade.paid_fen - trade.leaving_fen)),
            reason=str(body.get("reason", "")),
            notify_url=trade.notify_url if body.get("notify") else "",
        )
        return self._shown(paid_back[0])

    def end_refund(self, body: Body) -> dict[str, Any]:
        """A refund that was held ends: `state` is SUCCESS, CLOSED or ABNORMAL."""
        state, number = body.get("state", "SUCCESS"), str(body.get("refund_no", ""))
        if state not in _ENDS:
            raise ValueError("state")
        for provider in ("alipay", "wechat"):
            found = self._books.find_refund(provider=provider, refund_no=number)
            if found is not None:
                return self._shown(self._till.end_refund(*found, state=state)[0])
        raise Denied("absent")

    def jsapi(self, body: Body) -> dict[str, Any]:
        """What WeChat does with the parameters that a page gives it: verify them, and let the payer pay."""
        parts = [str(body.get(name, "")) for name in ("appId", "timeStamp", "nonceStr", "package")]
        signed = "".join(f"{part}\n" for part in parts).encode()
        good = keys.is_signed(signed, str(body.get("paySign", "")), self._keys.wechat_merchant)
        if not good or body.get("signType") != "RSA" or parts[0] != self._keys.identity.wechat_appid:
            raise ValueError("paySign")
        found = [one for one in self._books.trades() if parts[3] == f"prepay_id={prepay_id(one)}"]
        if not found:
            raise Denied("absent")
        return self._shown(self._till.pay(found[0]))

    def arm(self, body: Body) -> dict[str, Any]:
        """Arm one fault, or those of the list `faults`."""
        self._faults.armed += [Fault.of(one) for one in body.get("faults", [body])]
        return {"armed": len(self._faults.armed)}

    def behave(self, _body: Body) -> dict[str, Any]:
        """No faults any more."""
        self._faults.clear()
        return {}

    def set(self, body: Body) -> dict[str, Any]:
        """`speed` of the schedules, `ahead_ms` of the clock, `wechat_notices`: public_key, certificate or mixed."""
        speed = float(body.get("speed", self._postman.speed))
        mode = body.get("wechat_notices", self._writer.mode)
        if not 0 < speed <= _SPEED_MAX or mode not in MODES:
            raise ValueError("settings")
        self._postman.speed, self._writer.mode = speed, mode
        self._till.clock.ahead_ms = int(body.get("ahead_ms", self._till.clock.ahead_ms))
        self._postman.look()
        return {"speed": speed, "wechat_notices": mode, "ahead_ms": self._till.clock.ahead_ms}

    def send(self, body: Body) -> dict[str, Any]:
        """Have a notice sent now, whatever became of it before."""
        if not self._postman.send(int(body.get("notice_id", 0))):
            raise Denied("absent")
        return {}

    async def reset(self, request: web.Request) -> web.StreamResponse:
        """New books, no faults, the right time: as if newly made, but for its keys."""
        refused = elsewhere(request)
        if refused is not None:
            return refused
        await self._postman.begin_anew()
        self._faults.clear()
        self._postman.speed, self._writer.mode, self._till.clock.ahead_ms = 1.0, "mixed", 0
        return web.json_response({})

    def _trade(self, body: Body) -> Trade:
        named = {"order_no": str(body.get("order_no", ""))}
        found = self._books.find(**named, **({"provider": str(body["provider"])} if "provider" in body else {}))
        if found is None:
            raise Denied("absent")
        return found

    def _shown(self, trade: Trade) -> dict[str, Any]:
        figures = {"paid_fen": trade.paid_fen, "refunded_fen": trade.refunded_fen}
        return {**asdict(trade), "state": self._till.state(trade), **figures}


def _guarded(act: Callable[[Body], Any]) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        refused = elsewhere(request)
        if refused is not None:
            return refused
        try:
            raw = await request.read()
            body: object = json.loads(raw) if raw else {}
            if not isinstance(body, dict):
                raise BadFault("no object")
            return web.json_response(act(cast("dict[str, Any]", body)))
        except Denied as denied:
            return web.json_response({"reason": denied.reason}, status=404 if denied.reason == "absent" else 409)
        except (ValueError, TypeError) as error:
            return web.json_response({"reason": str(error)}, status=400)

    return handler


def elsewhere(request: web.Request) -> web.Response | None:
    """Refuse whoever is not on this machine, and every page that a browser on it shows, under whatever name."""
    host = urlsplit(f"//{request.host}").hostname or ""
    is_page = "Origin" in request.headers or "Sec-Fetch-Site" in request.headers
    if not is_page and _is_loopback(request.remote or "") and (host == "localhost" or _is_loopback(host)):
        return None
    return web.json_response({"reason": "only for this machine"}, status=403)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
