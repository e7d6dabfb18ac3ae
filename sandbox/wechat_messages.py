"""What WeChat Pay says of a trade: in notices and in answers. Amounts are fen, times are RFC 3339."""

import secrets
from typing import Any

from atelier.gateways.sandbox_identity import Identity
from sandbox.clock import rfc3339
from sandbox.trade import NewNotice, Payment, Refund, State, Trade

TRADE_TYPES = {"native": "NATIVE", "h5": "MWEB", "jsapi": "JSAPI"}
STATES = {
    "unseen": ("NOTPAY", "订单未支付"),
    "pending": ("NOTPAY", "订单未支付"),
    "paid": ("SUCCESS", "支付成功"),
    "refunded": ("REFUND", "转入退款"),
    "finished": ("SUCCESS", "支付成功"),
    "closed": ("CLOSED", "订单已关闭"),
}
_ACCOUNT = "支付用户零钱"


def payment_notice(trade: Trade, payment: Payment, *, identity: Identity) -> NewNotice:
    """It was paid."""
    resource = _trade(trade, identity) | _state("paid") | _paid(payment)
    return _notice(trade.notify_url, "TRANSACTION.SUCCESS", "支付成功", resource, at_ms=payment.at_ms)


def refund_notice(trade: Trade, refund: Refund, *, identity: Identity, state: str, at_ms: int) -> NewNotice:
    """A refund has ended: SUCCESS, CLOSED or ABNORMAL."""
    resource: dict[str, Any] = {
        "mchid": identity.wechat_mchid,
        "out_trade_no": trade.order_no,
        "transaction_id": trade.payments[0].payment_no,
        "out_refund_no": refund.refund_no,
        "refund_id": refund.gateway_no,
        "refund_status": state,
        "user_received_account": _ACCOUNT,
        "amount": {
            "total": trade.payments[0].amount_fen,
            "refund": refund.amount_fen,
            "payer_total": trade.payments[0].amount_fen,
            "payer_refund": refund.amount_fen,
        },
    }
    if state == "SUCCESS":
        resource["success_time"] = rfc3339(at_ms)
    return _notice(refund.notify_url, f"REFUND.{state}", "退款通知", resource, at_ms=at_ms, original="refund")


def queried(trade: Trade, state: State, *, identity: Identity) -> dict[str, Any]:
    """The answer to a query."""
    # Money that went back in part makes a refunded trade of it, too.
    told: State = "refunded" if trade.refunded_fen else state
    found = _trade(trade, identity) | _state(told)
    return found | _paid(trade.payments[0]) if trade.payments else found


def refund(trade: Trade, refund: Refund, *, state: str) -> dict[str, Any]:
    """The answer to a refund and to a query of one."""
    total = trade.payments[0].amount_fen
    found: dict[str, Any] = {
        "refund_id": refund.gateway_no,
        "out_refund_no": refund.refund_no,
        "transaction_id": trade.payments[0].payment_no,
        "out_trade_no": trade.order_no,
        "channel": "ORIGINAL",
        "user_received_account": _ACCOUNT,
        "create_time": rfc3339(refund.at_ms),
        "status": state,
        "funds_account": "AVAILABLE",
        "amount": {
            "total": total,
            "refund": refund.amount_fen,
            "payer_total": total,
            "payer_refund": refund.amount_fen,
            "settlement_refund": refund.amount_fen,
            "settlement_total": total,
            "discount_refund": 0,
            "currency": trade.currency,
        },
    }
    if state == "SUCCESS" and refund.ended_ms is not None:
        found["success_time"] = rfc3339(refund.ended_ms)
    return found


def _notice(
    url: str, event: str, summary: str, resource: dict[str, Any], *, at_ms: int, original: str = "transaction"
) -> NewNotice:
    key = secrets.token_hex(16)
    content = {
        "id": key,
        "create_time": rfc3339(at_ms),
        "event_type": event,
        "summary": summary,
        "original_type": original,
        "resource": resource,
    }
    kind = "payment" if original == "transaction" else "refund"
    return NewNotice(kind=kind, key=key, url=url, content=content, at_ms=at_ms)


def _trade(trade: Trade, identity: Identity) -> dict[str, Any]:
    found: dict[str, Any] = {
        "appid": identity.wechat_appid,
        "mchid": identity.wechat_mchid,
        "out_trade_no": trade.order_no,
        "attach": "",
        "trade_type": TRADE_TYPES[trade.channel],
        "amount": {"total": trade.amount_fen, "currency": trade.currency},
    }
    return found | ({"payer": {"openid": trade.payer}} if trade.payer else {})


def _state(state: State) -> dict[str, str]:
    name, words = STATES[state]
    return {"trade_state": name, "trade_state_desc": words}


def _paid(payment: Payment) -> dict[str, Any]:
    amount = {
        "total": payment.amount_fen,
        "payer_total": payment.amount_fen,
        "currency": "CNY",
        "payer_currency": "CNY",
    }
    return {
        "transaction_id": payment.payment_no,
        "bank_type": "OTHERS",
        "success_time": rfc3339(payment.at_ms),
        "payer": {"openid": payment.buyer},
        "amount": amount,
    }
