"""What Alipay says of a trade: in notices and in answers. Amounts are yuan, times are Beijing's."""

import secrets

from atelier.gateways.money import yuan
from atelier.gateways.sandbox_identity import Identity
from sandbox.clock import beijing
from sandbox.trade import NewNotice, Payment, Refund, State, Trade

STATUSES = {
    "unseen": "WAIT_BUYER_PAY",
    "pending": "WAIT_BUYER_PAY",
    "paid": "TRADE_SUCCESS",
    "refunded": "TRADE_CLOSED",
    "finished": "TRADE_FINISHED",
    "closed": "TRADE_CLOSED",
}


def payment_notice(trade: Trade, payment: Payment, *, identity: Identity, status: str = "TRADE_SUCCESS") -> NewNotice:
    """It was paid; or, as TRADE_FINISHED, it was paid and can't be refunded any more."""
    content = _common(trade, identity, status) | _paid(payment)
    return _notice(trade, "payment", content, at_ms=payment.at_ms)


def closed_notice(trade: Trade, *, identity: Identity, at_ms: int) -> NewNotice:
    """Nobody has paid it, and nobody can any more."""
    content = _common(trade, identity, "TRADE_CLOSED") | {"gmt_close": beijing(at_ms)}
    return _notice(trade, "closed", content, at_ms=at_ms)


def waiting_notice(trade: Trade, *, identity: Identity, at_ms: int) -> NewNotice:
    """A payer looks at it."""
    return _notice(trade, "other", _common(trade, identity, "WAIT_BUYER_PAY"), at_ms=at_ms)


def refund_notice(trade: Trade, refund: Refund, *, identity: Identity, at_ms: int) -> NewNotice:
    """Money has gone back: a notice like that of the payment, told apart by three more fields.

    `refund_fee` is what has gone back for the trade altogether, not this time.
    """
    refunded = trade.refunded_fen + refund.amount_fen
    status = "TRADE_CLOSED" if refunded >= trade.paid_fen else "TRADE_SUCCESS"
    content = _common(trade, identity, status) | _paid(trade.payments[0])
    content |= {"refund_fee": yuan(refunded), "gmt_refund": _precise(at_ms), "out_biz_no": refund.refund_no}
    return _notice(trade, "refund", content, at_ms=at_ms)


def queried(trade: Trade, state: State) -> dict[str, str]:
    """The answer of alipay.trade.query."""
    found = {
        "out_trade_no": trade.order_no,
        "trade_no": trade.trade_no,
        "trade_status": STATUSES[state],
        "total_amount": yuan(trade.paid_fen if trade.payments else trade.amount_fen),
        "invoice_amount": "0.00",
        "point_amount": "0.00",
        "receipt_amount": "0.00",
        "buyer_pay_amount": "0.00",
    }
    if trade.payments:
        first = trade.payments[0]
        paid = yuan(first.amount_fen)
        found |= {
            "trade_no": first.payment_no,
            "total_amount": paid,
            "receipt_amount": paid,
            "buyer_pay_amount": paid,
            "invoice_amount": paid,
            "buyer_logon_id": "san***@example.com",
            "buyer_user_id": first.buyer,
            "send_pay_date": beijing(first.at_ms),
        }
    return found


def refunded(trade: Trade, refund: Refund, *, moved: bool) -> dict[str, str]:
    """The answer of alipay.trade.refund. `moved`: this very call has made the money go back."""
    return {
        "buyer_logon_id": "san***@example.com",
        "buyer_user_id": trade.payments[0].buyer,
        "fund_change": "Y" if moved else "N",
        "gmt_refund_pay": beijing(refund.ended_ms or refund.at_ms),
        "out_trade_no": trade.order_no,
        "refund_fee": yuan(trade.refunded_fen),
        "send_back_fee": yuan(refund.amount_fen if refund.state == "SUCCESS" else 0),
        "trade_no": trade.payments[0].payment_no,
    }


def queried_refund(trade: Trade, refund: Refund | None) -> dict[str, str]:
    """The answer of alipay.trade.fastpay.refund.query: says nothing of what has not gone back."""
    if refund is None or refund.state != "SUCCESS":
        return {}
    return {
        "out_trade_no": trade.order_no,
        "trade_no": trade.payments[0].payment_no,
        "out_request_no": refund.refund_no,
        "refund_reason": refund.reason,
        "total_amount": yuan(trade.paid_fen),
        "refund_amount": yuan(refund.amount_fen),
        "refund_status": "REFUND_SUCCESS",
        "gmt_refund_pay": beijing(refund.ended_ms or refund.at_ms),
    }


def _notice(trade: Trade, kind: str, content: dict[str, str], *, at_ms: int) -> NewNotice:
    key = f"{beijing(at_ms)[:10].replace('-', '')}00222{secrets.token_hex(10)}"
    return NewNotice(kind=kind, key=key, url=trade.notify_url, content={**content, "notify_id": key}, at_ms=at_ms)


def _common(trade: Trade, identity: Identity, status: str) -> dict[str, str]:
    return {
        "notify_type": "trade_status_sync",
        "app_id": identity.alipay_app_id,
        "auth_app_id": identity.alipay_app_id,
        "seller_id": identity.alipay_seller_id,
        "charset": "utf-8",
        "version": "1.0",
        "trade_no": trade.trade_no,
        "out_trade_no": trade.order_no,
        "trade_status": status,
        "total_amount": yuan(trade.amount_fen),
        "subject": trade.subject,
        "body": "",
        "gmt_create": beijing(trade.created_ms),
    }


def _paid(payment: Payment) -> dict[str, str]:
    paid = yuan(payment.amount_fen)
    return {
        "trade_no": payment.payment_no,
        "buyer_id": payment.buyer,
        "total_amount": paid,
        "receipt_amount": paid,
        "buyer_pay_amount": paid,
        "invoice_amount": paid,
        "point_amount": "0.00",
        "gmt_payment": beijing(payment.at_ms),
        "fund_bill_list": f'[{{"amount":"{paid}","fundChannel":"ALIPAYACCOUNT"}}]',
    }


def _precise(ms: int) -> str:
    return f"{beijing(ms)}.{ms % 1000:03d}"
