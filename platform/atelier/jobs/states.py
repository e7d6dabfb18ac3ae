"""The life of a job, as pure facts.

pending ──claim──► running ──► completed
   │  ▲              │  │ └──► failed
   │  └──retry───────┘  └────► canceled
   └───────────────────────► canceled | failed (deadline)
"""

PENDING = "pending"
RUNNING = "running"
COMPLETED = "completed"
FAILED = "failed"
CANCELED = "canceled"
ALIVE = (PENDING, RUNNING)
FINISHED = (COMPLETED, FAILED, CANCELED)

ABANDONED = "WORKER_LOST"
"""The outcome of an attempt whose worker was never heard of again."""

SEQ_STEP = 1_000_000
REPUBLISH_MAX_MS = 600_000


def first_seq(fence: int) -> int:
    """The number of the first event under a fence."""
    return fence * SEQ_STEP + 1


def backoff_ms(*, base_ms: int, attempts: int, jitter: float) -> int:
    """Wait before the next attempt: base × 2^(attempts−1), ± 25 % by `jitter` in 0…1, ten minutes at most."""
    return min(REPUBLISH_MAX_MS, int((base_ms << (attempts - 1)) * (0.75 + jitter / 2)))


def republish_ms(*, base_ms: int, publishes: int) -> int:
    """Wait before an unclaimed job is published again: base × 2^publishes, ten minutes at most."""
    return min(REPUBLISH_MAX_MS, base_ms << min(publishes, 20))
