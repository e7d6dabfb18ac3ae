"""The life of an event, as pure facts.

waiting ──attempt──► waiting (later) ──► delivered     2xx
   ▲                    │           └──► failed        given up: ten attempts, 410, or nobody is there any more
   └────redeliver───────┴────────────────┘             as its user likes, also after it was delivered
"""

from typing import Final

from atelier.kernel.clock import HOUR_MS, MINUTE_MS, SECOND_MS

WAITING: Final = "waiting"
DELIVERED: Final = "delivered"
FAILED: Final = "failed"

PING: Final = "webhook.ping"
TYPES: Final = ("job.completed", "job.failed", "job.canceled")

# Why an event was given up without the last attempt having said so.
ENDPOINT_DISABLED: Final = "ENDPOINT_DISABLED"
TOO_MANY_WAITING: Final = "TOO_MANY_WAITING"
NOTHING_TO_TELL: Final = "NOTHING_TO_TELL"
# Why an endpoint is off without its user having said so.
GONE: Final = "gone"
FAILING: Final = "failing"

WAITS_MS: Final = (
    5 * SECOND_MS,
    5 * MINUTE_MS,
    30 * MINUTE_MS,
    2 * HOUR_MS,
    5 * HOUR_MS,
    10 * HOUR_MS,
    14 * HOUR_MS,
    20 * HOUR_MS,
    24 * HOUR_MS,
)
ATTEMPTS_MAX: Final = len(WAITS_MS) + 1
LONGEST_MS: Final = WAITS_MS[-1] * 11 // 10
FAILURES_MAX: Final = 10
"""So many attempts in a row without one success, and the endpoint is off. Order is kept, so that is one event's whole
schedule."""

WAITING_MAX: Final = 1_000
"""So many events of an endpoint may wait; those that come then are given up at once."""


def wait_ms(*, tries: int, jitter: float, asked_seconds: float | None = None) -> int:
    """The wait after so many attempts: the schedule's ± 10 % by `jitter` in 0…1, or longer if asked for, a day and its
    jitter at most.
    """
    usual = WAITS_MS[min(tries, len(WAITS_MS)) - 1] * (0.9 + jitter / 5)
    return int(min(max(usual, (asked_seconds or 0) * SECOND_MS), LONGEST_MS))
