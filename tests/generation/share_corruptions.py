"""What a hand or a bug can do to shares, earnings and purchases; as in `corruptions`.

share_<thing> and platform_<thing> are the transfers of the two sharers, paid_<purchase> is its payment. `plain` is a
job of an agent without a creator, `picture` one whose creator has not been paid yet.
"""

from tests.generation.corruptions import Corruption

SHARE_CORRUPTIONS = {
    "nobody shares in a capture": Corruption(
        "DELETE FROM transfers WHERE id = :platform_plain",
        {"share.missing": "end_plain", "clearing.balance": ""},
    ),
    "the platform's share is deleted": Corruption(
        "DELETE FROM transfers WHERE id = :platform_done", {"share.sum": "end_done", "clearing.balance": ""}
    ),
    "the platform's share goes elsewhere": Corruption(
        "UPDATE transfers SET credit_id = 'system:bonus' WHERE id = :platform_done", {"transfer.sides": "platform_done"}
    ),
    "the platform's share is of another thing": Corruption(
        "UPDATE transfers SET ref_id = :fresh WHERE id = :platform_done", {"share.source": "platform_done"}
    ),
    "a share is of nothing that was paid": Corruption(
        "UPDATE transfers SET `key` = 'share:job:other:platform' WHERE id = :platform_done",
        {"share.source": "platform_done", "share.sum": "end_done"},
    ),
    "a creator's share is deleted": Corruption(
        "DELETE FROM transfers WHERE id = :share_done",
        {
            "account.posted": "creator",
            "account.version": "creator",
            "statement.gap": "share_bought",
            "share.sum": "end_done",
            "share.earning": "end_done",
            "clearing.balance": "",
        },
    ),
    "a creator's share is raised": Corruption(
        "UPDATE transfers SET amount = amount + 1 WHERE id = :share_done",
        {
            "account.posted": "creator",
            "statement.balance": "share_done",
            "share.sum": "end_done",
            "share.earning": "end_done",
            "clearing.balance": "",
        },
    ),
    "what is owed is raised": Corruption(
        "UPDATE earnings SET amount = amount + 1 WHERE ref_id = :picture",
        {"share.sum": "end_picture", "clearing.balance": ""},
    ),
    "what is owed is forgotten": Corruption(
        "DELETE FROM earnings WHERE ref_id = :picture",
        {"share.sum": "end_picture", "job.share": "picture", "clearing.balance": ""},
    ),
    "what was paid out is owed again": Corruption(
        "UPDATE earnings SET due_ms = 0, paid_ms = NULL WHERE ref_id = :done",
        {"share.sum": "end_done", "share.earning": "end_done", "earning.days": "creator", "clearing.balance": ""},
    ),
    "what is owed passes as paid out": Corruption(
        "UPDATE earnings SET due_ms = NULL, paid_ms = 1 WHERE ref_id = :picture",
        {
            "share.sum": "end_picture",
            "share.earning": "end_picture",
            "earning.days": "creator",
            "clearing.balance": "",
        },
    ),
    "what was paid is written down otherwise": Corruption(
        "UPDATE earnings SET gross = gross + 1 WHERE ref_id = :done",
        {"share.earning": "end_done", "earning.days": "creator"},
    ),
    "someone else has earned it": Corruption(
        "UPDATE earnings SET creator_id = :other WHERE ref_id = :done",
        {"share.earning": "end_done", "job.share": "done", "earning.days": "creator other"},
    ),
    "someone else is owed it": Corruption(
        "UPDATE earnings SET creator_id = :other WHERE ref_id = :picture", {"job.share": "picture"}
    ),
    "another agent has earned it": Corruption(
        "UPDATE earnings SET agent_id = :fresh WHERE ref_id = :done", {"job.share": "done"}
    ),
    "something is earned by nothing": Corruption(
        "UPDATE earnings SET ref_id = :fresh WHERE ref_id = :picture",
        {"earning.source": "fresh", "share.sum": "end_picture", "job.share": "picture"},
    ),
    "a creator waits long": Corruption(
        "UPDATE earnings SET created_ms = 1 WHERE ref_id IN (:picture, :done)", {"share.late": "picture"}
    ),
    "a day's sum is raised": Corruption(
        "UPDATE earning_days SET amount = amount + 1 WHERE agent_id = :agent", {"earning.days": "creator"}
    ),
    "a day is forgotten": Corruption("DELETE FROM earning_days", {"earning.days": "creator"}),
    "a purchase was cheaper": Corruption(
        "UPDATE agent_purchases SET price = price + 1 WHERE id = :bought", {"purchase.paid": "bought"}
    ),
    "a purchase passes to another user": Corruption(
        "UPDATE agent_purchases SET user_id = :user WHERE id = :bought", {"purchase.paid": "bought"}
    ),
    "a purchase is forgotten": Corruption(
        "DELETE FROM agent_purchases WHERE id = :bought", {"purchase.made": "paid_bought"}
    ),
    "a purchase was not paid for": Corruption(
        "DELETE FROM transfers WHERE id = :paid_bought",
        {
            "purchase.paid": "bought",
            "account.posted": "other",
            "account.version": "other",
            "share.source": "share_bought platform_bought",
            "earning.source": "bought",
            "clearing.balance": "",
        },
    ),
    "a subscription is not ended": Corruption(
        "UPDATE agent_purchases SET due_ms = 1, expires_ms = 1 WHERE id = :bought", {"purchase.over": "bought"}
    ),
}
