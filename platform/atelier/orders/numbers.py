"""Numbers of orders: what names an order to its gateway, and to whoever reads a bank statement."""

import secrets
from datetime import datetime, timedelta, timezone

from atelier.kernel.clock import SECOND_MS

# Crockford's digits: none looks like another, and each gateway takes them.
DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CHANCE = 24
BEIJING = timezone(timedelta(hours=8))


def new_order_no(now_ms: int) -> str:
    """A fresh number of 32 characters: the day in Beijing, and 120 bits of chance that nobody guesses or repeats."""
    day = datetime.fromtimestamp(now_ms / SECOND_MS, BEIJING).strftime("%Y%m%d")
    return day + "".join(secrets.choice(DIGITS) for _ in range(CHANCE))
