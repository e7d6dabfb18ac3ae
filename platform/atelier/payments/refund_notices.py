"""What gateways say of money that went back: of a refund of ours, or of one that somebody made there by hand.

Ours is ended by it, if its own call has not done so before; the later of the two changes nothing. One that is not ours
opens a case: an administrator accepts it, and then it is a refund as any other, made elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from sqlalchemy.orm import Session

from atelier.orders import cases, refunds, resolutions, states
from atelier.orders import service as orders
from atelier.orders.cases import NewCase
from atelier.orders.refunds import Refund
from atelier.orders.service import Order
from atelier.payments import refund_ends
from atelier.payments.refund_ends import CLOSED, KNOWN, Told
from atelier.payments.settlement import Settled, SettlementIds

IGNORED: Final = "ignored"
ENDS: Final = (states.SUCCEEDED, states.FAILED)


def settle(
    session: Session, *, provider: str, order_no: str, fact: Mapping[str, Any], ids: SettlementIds, now_ms: int
) -> Settled:
    """What a gateway says of money that went back."""
    order = orders.lock(session, order_no=order_no)
    if order is not None and order.provider != provider:
        order = None
    went = Went.of(fact)
    if went.together_fen is not None:
        # Of an order that was paid twice, Alipay counts what goes back of the stray payment too.
        gone_fen, going_fen = resolutions.sent_back_fen(session, order_no=order_no)
        went = replace(went, stray_fen=gone_fen, strays_going_fen=going_fen)
    refund = _ours(session, order, went)
    if went.state not in ENDS:
        return Settled(outcome=KNOWN if refund else IGNORED, order=order)
    if refund is None or order is None:
        if went.state == states.FAILED:
            return Settled(outcome=IGNORED, order=order)  # No money has moved, and none was expected to.
        return _unknown(session, order, went, provider=provider, order_no=order_no, ids=ids, now_ms=now_ms)
    told = Told(
        succeeded=went.state == states.SUCCEEDED,
        source="notice",
        gateway_no=went.gateway_no,
        amount_fen=went.own_fen(order, refund),
        error=None if went.state == states.SUCCEEDED else CLOSED,
    )
    if refund.state in states.REFUND_OPEN:
        return refund_ends.end(session, order, refund, told=told, ids=ids, now_ms=now_ms)
    if told.succeeded and refund.state == states.FAILED:
        # It was given up here, and the credits are given back; now the money has gone after all.
        return _unknown(session, order, went, provider=provider, order_no=order_no, ids=ids, now_ms=now_ms)
    return _again(session, order, refund, told=told, ids=ids, now_ms=now_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Went:
    """What a notice says: of which refund, how much, and, at Alipay, how much went back for the order in all.

    stray_fen   what cases have sent back of the same order's money, and so is none of its refunds; `strays_going_fen`
                is on its way
    """

    state: str
    refund_no: str | None
    payment_no: str | None
    gateway_no: str | None
    fen: int | None
    together_fen: int | None
    stray_fen: int = 0
    strays_going_fen: int = 0

    @classmethod
    def of(cls, fact: Mapping[str, Any]) -> Self:
        """The fact of a notice, as it lies in the inbox."""
        more: Mapping[str, Any] = fact.get("fact") or {}
        return cls(
            state=fact.get("refund_state") or states.SUCCEEDED,
            refund_no=fact.get("refund_no"),
            payment_no=fact.get("payment_no"),
            gateway_no=more.get("gateway_no"),
            fen=fact.get("refund_fen"),
            together_fen=more.get("refunded_fen"),
        )

    def own_fen(self, order: Order, refund: Refund) -> int | None:
        """What went back by this refund of ours; None where nothing speaks against its own amount."""
        if self.fen is not None or self.together_fen is None:
            return self.fen
        # Notices may pass each other: what went back in all is this one, and any of the others that we know of.
        known_fen = order.refunded_fen + order.refunding_fen + self.stray_fen + self.strays_going_fen
        return None if refund.amount_fen <= self.together_fen <= known_fen else self.together_fen

    def other_fen(self, order: Order | None, *, unaccepted_fen: int) -> int | None:
        """What went back by a refund that is not ours; None where the sum does not tell it.

        `unaccepted_fen` went back in the same way before, and no administrator has accepted it.
        """
        if self.fen is not None or self.together_fen is None or order is None:
            return self.fen
        rest_fen = self.together_fen - order.refunded_fen - self.stray_fen - unaccepted_fen
        return rest_fen if rest_fen > 0 and not order.refunding_fen and not self.strays_going_fen else None


def _ours(session: Session, order: Order | None, went: Went) -> Refund | None:
    if order is None or went.refund_no is None or went.payment_no not in {None, order.payment_no}:
        return None
    found = refunds.find_by_no(session, refund_no=went.refund_no)
    if found is None or found.order_id != order.id:
        return None
    return refunds.lock(session, refund_id=found.id)


def _again(session: Session, order: Order, refund: Refund, *, told: Told, ids: SettlementIds, now_ms: int) -> Settled:
    """It has ended before: the same end is nothing new, another one has to be looked at."""
    same_end = told.succeeded == (refund.state == states.SUCCEEDED)
    if same_end and (not told.succeeded or told.amount_fen in {None, refund.amount_fen}):
        return Settled(outcome=KNOWN, order=order)
    case_id = refund_ends.open_case(
        session, order, refund, told=told, kind="refund_differs", case_id=ids.case_id, now_ms=now_ms
    )
    return Settled(outcome="refund_differs", case_id=case_id, order=order)


def _unknown(
    session: Session,
    order: Order | None,
    went: Went,
    *,
    provider: str,
    order_no: str,
    ids: SettlementIds,
    now_ms: int,
) -> Settled:
    unaccepted_fen = cases.unaccepted_fen(session, order_no=order_no)
    new = NewCase(
        id=ids.case_id,
        kind="unknown_refund",
        key=f"{order_no}:{went.refund_no or went.together_fen or went.fen}",
        provider=provider,
        order_no=order_no,
        order_id=order.id if order else None,
        user_id=order.user_id if order else None,
        payment_no=went.payment_no,
        amount_fen=went.other_fen(order, unaccepted_fen=unaccepted_fen),
        details={
            "refundNo": went.refund_no,
            "gatewayNo": went.gateway_no,
            "togetherFen": went.together_fen,
            "status": order.state if order else None,
        },
    )
    return Settled(outcome=new.kind, case_id=cases.open_once(session, new, now_ms=now_ms), order=order)
