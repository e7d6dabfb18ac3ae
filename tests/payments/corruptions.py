"""Changes of orders and refunds that only a hand or a bug can make, and what the doctor says of each.

`paid` is an order that was paid; `pending` and `closed` are not. `half` was paid back in part by the refund `part`;
`whole` was paid back by `spent`, whose user had spent some of it, and owes the rest. The refund `failed` of the order
`again` failed, after a part of its debt was paid. `topup_<order>`, `took_<refund>`, `restored_failed`, `of_debt` and
`of_case` are transfers; the case `credited` became credits, the case `unseen` waits; the event `unsettled` does too.
"""

from tests.generation.corruptions import Corruption

PAYMENT_CORRUPTIONS = {
    "an order was never paid": Corruption(
        "UPDATE orders SET state = 'pending', paid_ms = NULL, payment_no = NULL WHERE id = :paid",
        {"order.topup": "paid", "topup.source": "topup_paid"},
    ),
    "an order passes for paid": Corruption(
        "UPDATE orders SET state = 'paid', paid_ms = 1, payment_no = 'x' WHERE id = :pending",
        {"order.topup": "pending"},
    ),
    "an order gave more than it sold": Corruption(
        "UPDATE orders SET credits = credits - 1 WHERE id = :paid",
        {"order.topup": "paid", "topup.source": "topup_paid"},
    ),
    "an order passes to another user": Corruption(
        "UPDATE orders SET user_id = :fresh WHERE id = :paid", {"order.topup": "paid"}
    ),
    "an order is deleted": Corruption("DELETE FROM orders WHERE id = :paid", {"topup.source": "topup_paid"}),
    "what paid for credits is another order": Corruption(
        "UPDATE transfers SET `key` = 'topup:order:x' WHERE id = :topup_paid",
        {"order.topup": "paid", "topup.source": "topup_paid"},
    ),
    "an order is said to be refunded": Corruption(
        "UPDATE orders SET state = 'refunded', refunded_fen = amount_fen WHERE id = :paid", {"order.refunds": "paid"}
    ),
    "a refunded order is paid again": Corruption(
        "UPDATE orders SET state = 'paid', refunded_fen = 0 WHERE id = :whole", {"order.refunds": "whole"}
    ),
    "an order's refunds are lowered": Corruption(
        "UPDATE orders SET refunded_fen = refunded_fen - 1 WHERE id = :half", {"order.refunds": "half"}
    ),
    "an order's state forgets its refund": Corruption(
        "UPDATE orders SET state = 'paid' WHERE id = :half", {"order.refunds": "half"}
    ),
    "a refund is raised": Corruption(
        "UPDATE refunds SET amount_fen = amount_fen + 1 WHERE id = :part", {"order.refunds": "half"}
    ),
    "a refund is of another order": Corruption(
        "UPDATE refunds SET order_id = :paid WHERE id = :part",
        {"order.refunds": "half paid", "refund.order": "part"},
    ),
    "a refund is of no order": Corruption(
        "UPDATE refunds SET order_id = :fresh WHERE id = :part", {"order.refunds": "half", "refund.order": "part"}
    ),
    "a refund went to another gateway": Corruption(
        "UPDATE refunds SET provider = 'wechat' WHERE id = :part", {"refund.order": "part"}
    ),
    "a refund took more than it says": Corruption(
        "UPDATE refunds SET taken = taken - 1 WHERE id = :part", {"refund.taken": "part", "refund.owed": "part"}
    ),
    "a refund took more than the order gave": Corruption(
        "UPDATE refunds SET credits = 1000 WHERE id = :part", {"order.refunds": "half", "refund.owed": "part"}
    ),
    "a refund took nothing": Corruption(
        "DELETE FROM transfers WHERE id = :took_part",
        {"refund.taken": "part", "account.posted": "half_user", "account.version": "half_user"},
    ),
    "a refund is deleted": Corruption(
        "DELETE FROM refunds WHERE id = :part", {"order.refunds": "half", "clawback.refund": "took_part"}
    ),
    "a refund is said to have failed": Corruption(
        "UPDATE refunds SET state = 'failed' WHERE id = :part", {"order.refunds": "half", "refund.restored": "part"}
    ),
    "a failed refund is said to have succeeded": Corruption(
        "UPDATE refunds SET state = 'succeeded' WHERE id = :failed",
        {"order.refunds": "again", "refund.restored": "failed", "debt.open": "failed"},
    ),
    "a failed refund kept the credits": Corruption(
        "DELETE FROM transfers WHERE id = :restored_failed",
        {"refund.restored": "failed", "account.posted": "again_user", "account.version": "again_user"},
    ),
    "a debt is forgotten": Corruption("DELETE FROM credit_debts WHERE ref_id = :spent", {"refund.owed": "spent"}),
    "a debt is raised": Corruption(
        "UPDATE credit_debts SET amount = amount + 1 WHERE ref_id = :spent", {"refund.owed": "spent"}
    ),
    "a debt is said to be paid": Corruption(
        "UPDATE credit_debts SET paid = amount WHERE ref_id = :spent", {"debt.paid": "spent", "debt.open": "spent"}
    ),
    "a debt is waived": Corruption(
        "UPDATE credit_debts SET `open` = NULL, ended_ms = 1 WHERE ref_id = :spent", {"debt.open": "spent"}
    ),
    "a debt is another user's": Corruption(
        "UPDATE credit_debts SET user_id = :fresh WHERE ref_id = :spent",
        {"refund.owed": "spent", "debt.refund": "spent"},
    ),
    "a payment of a debt is lowered": Corruption(
        "UPDATE credit_debts SET paid = paid - 1 WHERE ref_id = :failed",
        {"debt.paid": "failed", "refund.restored": "failed"},
    ),
    "a payment of a debt is for something else": Corruption(
        "UPDATE transfers SET ref_id = :fresh WHERE id = :of_debt",
        {"debt.paid": "failed", "clawback.refund": "of_debt"},
    ),
    "a case is said to be dismissed": Corruption(
        "UPDATE payment_cases SET resolution = 'dismissed' WHERE id = :credited", {"topup.source": "of_case"}
    ),
    "a case gave more": Corruption(
        "UPDATE payment_cases SET credits = credits - 1 WHERE id = :credited", {"topup.source": "of_case"}
    ),
    "an order is not closed": Corruption(
        "UPDATE orders SET expires_ms = 1 WHERE id IN (:pending, :closed)", {"order.expired": "pending"}
    ),
    "a gateway is not asked about a refund": Corruption(
        "UPDATE refunds SET due_ms = 1 WHERE id = :waiting", {"refund.late": "waiting"}
    ),
    "what a gateway sent is not settled": Corruption(
        "UPDATE payment_events SET received_ms = 1", {"payment.unsettled": "unsettled"}
    ),
    "nobody looks at a case": Corruption("UPDATE payment_cases SET created_ms = 1", {"case.open": "unseen"}),
}
# What a unique key prevents.
TWICE = ("orders", "UPDATE orders SET payment_no = 'x' WHERE id IN (:paid, :half)", {"order.payment": "paid half"})
