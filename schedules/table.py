"""The timetable. Every entry names a contract; what is missed is made good by the next tick."""

from dataclasses import dataclass

from atelier.contracts import messages
from atelier.contracts.messages import Contract, Tick

SKEW_SECONDS = 10.0
"""How much the clocks of two machines may differ: Celery tells by both of them when a message is no good any more."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Send a tick by this contract every so often. A tick that nobody took in one period is dropped, if not at once."""

    contract: Contract[Tick]
    every_seconds: float

    @property
    def expires_seconds(self) -> float:
        """When a worker drops it: a clock that is ahead of the sender's must not drop every one."""
        return max(SKEW_SECONDS, self.every_seconds)


def timetable(*, sweep_seconds: float) -> dict[str, Entry]:
    """All entries by name."""
    return {
        "poll-providers": Entry(messages.PROVIDERS_POLL, 1),
        "sweep": Entry(messages.JOBS_SWEEP, sweep_seconds),
        "check-ledger": Entry(messages.LEDGER_CHECK, 60),
        "roll-analytics": Entry(messages.ANALYTICS_ROLL, 300),
        "verify-analytics": Entry(messages.ANALYTICS_VERIFY, 6 * 3_600),
        "purge-projects": Entry(messages.WORKSHOP_PURGE, 3_600),
        "count-downloads": Entry(messages.DOWNLOADS_COUNT, 300),
        "collect-files": Entry(messages.FILES_COLLECT, 600),
        "expire-results": Entry(messages.RESULTS_EXPIRE, 600),
        "refresh-search": Entry(messages.SEARCH_REFRESH, 300),
        "share": Entry(messages.MARKETPLACE_SHARE, 10),
        "watch-payments": Entry(messages.PAYMENTS_WATCH, 20),
        "compare-payments": Entry(messages.PAYMENTS_COMPARE, 60),
        "end-subscriptions": Entry(messages.MARKETPLACE_EXPIRE, 300),
        "prune": Entry(messages.SYSTEM_PRUNE, 3_600),
    }
