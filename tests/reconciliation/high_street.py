"""The shop beside the sandbox: orders are placed there by our own clients, on a day that is over."""

from collections.abc import Mapping

from atelier.gateways import choose
from atelier.gateways.port import Channel, Gateway, ToPay
from atelier.kernel.clock import DAY_MS, HOUR_MS
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.orders.service import Order
from tests.reconciliation.books import Shop, noon
from tests.sandbox_server import SandboxServer

CHANNELS: Mapping[str, Channel] = {"alipay": "qr", "wechat": "native"}
AGO = 3


class HighStreet(Shop):
    """Both gateways are the sandbox's; none of its notices ever arrives."""

    def __init__(self, db: Database, settings: Settings, sandbox: SandboxServer) -> None:
        super().__init__(db)
        self.gateways: Mapping[str, Gateway] = choose.gateways_of(settings)
        self.sandbox = sandbox
        sandbox.fault("drop", count=None)

    def close_connections(self) -> None:
        """Give back what the clients hold."""
        for gateway in self.gateways.values():
            gateway.close_connections()

    def place(self, order: Order, *, ago: int = 0) -> Order:
        """The gateway knows the order, on the day that the sandbox's clock shows."""
        self.sandbox.set(ahead_ms=-ago * DAY_MS)
        at_ms = noon(0) - ago * DAY_MS
        to_pay = ToPay(
            order_no=order.order_no,
            amount_fen=order.amount_fen,
            subject="积分",
            channel=CHANNELS[order.provider],
            created_ms=at_ms,
            expires_ms=at_ms + 14 * HOUR_MS,
        )
        self.gateways[order.provider].place(to_pay)
        return order

    def in_books(self, provider: str) -> tuple[int, int]:
        """What was paid and paid back there, in fen."""
        totals = self.sandbox.books()["totals"][provider]
        return totals["paid_fen"], totals["refunded_fen"]
