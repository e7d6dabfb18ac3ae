"""The states of orders and refunds.

    pending ──paid──► paid ──refund──► refunding ──done──► partially_refunded | refunded
       │               ▲                  │
       └──closed───────┘ (paid late)      └──refused──► as before

What was refunded never becomes paid again.
"""

from typing import Final

PENDING: Final = "pending"
PAID: Final = "paid"
CLOSED: Final = "closed"
REFUNDING: Final = "refunding"
PARTIALLY_REFUNDED: Final = "partially_refunded"
REFUNDED: Final = "refunded"
ALL: Final = (PENDING, PAID, CLOSED, REFUNDING, PARTIALLY_REFUNDED, REFUNDED)
UNPAID: Final = (PENDING, CLOSED)

# A refund: wanted here, asked of the gateway (which may still be at it), and its two ends.
REQUESTED: Final = "requested"
PROCESSING: Final = "processing"
SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"
REFUND_ALL: Final = (REQUESTED, PROCESSING, SUCCEEDED, FAILED)
REFUND_OPEN: Final = (REQUESTED, PROCESSING)
