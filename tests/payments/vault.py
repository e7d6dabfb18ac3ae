"""A gateway within the test that pays back: once for each number, unless it is in another mood."""

from dataclasses import dataclass, field, replace

from typing_extensions import override

from atelier.gateways.errors import GatewayUnknown
from atelier.gateways.port import Refund, RefundState, ToRefund
from tests.payments.booth import Booth


@dataclass
class Vault(Booth):
    """`ends` is how the next refunds end: succeeded unless told otherwise."""

    ends: RefundState = "succeeded"
    paid_back: dict[str, ToRefund] = field(default_factory=dict[str, ToRefund])
    states_of: dict[str, RefundState] = field(default_factory=dict[str, RefundState])
    asked: list[str] = field(default_factory=list[str])

    @override
    def refund(self, wanted: ToRefund) -> Refund:
        self.asked.append("refund")
        mood = self._mood()
        self.paid_back.setdefault(wanted.refund_no, wanted)
        self.states_of.setdefault(wanted.refund_no, self.ends)
        if mood == "lost":
            raise GatewayUnknown
        return self._told(wanted.refund_no)

    @override
    def query_refund(self, *, order_no: str, refund_no: str) -> Refund:
        self.asked.append("query")
        self._mood()
        if refund_no not in self.states_of:
            return Refund(refund_no=refund_no, state="absent")
        return self._told(refund_no)

    def _told(self, refund_no: str) -> Refund:
        found = Refund(refund_no=refund_no, state=self.states_of[refund_no])
        return replace(found, amount_fen=self.paid_back[refund_no].amount_fen)
