"""The events of jobs and credits, in the one envelope."""

from collections.abc import Mapping
from typing import Any

from atelier.kernel.clock import now_ms
from atelier.ledger.posting import Posted
from atelier.live.events import Event


def job_event(kind: str, job_id: str, seq: int, data: Mapping[str, Any]) -> Event:
    """`job.<kind>` with the job's own number."""
    return Event(type=f"job.{kind}", job_id=job_id, seq=seq, at_ms=now_ms(), data=dict(data))


def credits_changed(account: Posted) -> Event:
    """The user's balance after a movement, numbered by the account's version."""
    data = {"balance": account.balance, "held": account.held, "available": account.available}
    return Event(type="credits.changed", job_id=None, seq=account.version, at_ms=now_ms(), data=data)
