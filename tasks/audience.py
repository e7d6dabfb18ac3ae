"""Counting who uses agents."""

from atelier.contracts.messages import Tick
from atelier.marketplace import downloads
from tasks import runtime


def count_downloads(_tick: Tick) -> None:
    """Count the users who have come to agents since the last time."""
    downloads.count(runtime.get().database)
