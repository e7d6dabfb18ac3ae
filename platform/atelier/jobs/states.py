"""The life of a job, as pure facts.

pending ──claim──► running ──► completed
   │  ▲              │  │ └──► failed
   │  └──retry───────┘  └────► canceled
   └───────────────────────► canceled | failed (deadline)

A running job may be parked: without a worker and without a lease, until what it waits for is done.
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
LOOK_GRACE_MS = 10_000
"""Who looks at a parked job also stops what runs for it elsewhere, so the sweeper gives it a moment."""
LOOK_MS = 500
LOOK_EVENTS = 4


def first_seq(fence: int) -> int:
    """The number of the first event under a fence."""
    return fence * SEQ_STEP + 1


def look_seq(fence: int, *, since_ms: int) -> int:
    """What the numbers of the events follow that a look at a parked job may send, so long after its attempt began.

    Looks come from several processes that tell each other nothing: numbers that follow from the database's clock grow
    by themselves. A look has four, and the day that a job may last has room for two looks a second.
    """
    return first_seq(fence) + 1 + min(since_ms // LOOK_MS * LOOK_EVENTS, SEQ_STEP - 10)


def backoff_ms(*, base_ms: int, attempts: int, jitter: float) -> int:
    """Wait before the next attempt: base × 2^(attempts−1), ± 25 % by `jitter` in 0…1, ten minutes at most."""
    return min(REPUBLISH_MAX_MS, int((base_ms << (attempts - 1)) * (0.75 + jitter / 2)))


def republish_ms(*, base_ms: int, publishes: int) -> int:
    """Wait before an unclaimed job is published again: base × 2^publishes, ten minutes at most."""
    return min(REPUBLISH_MAX_MS, base_ms << min(publishes, 20))


HEAD_STARTS_MS = {"high": 600_000, "normal": 0, "low": -600_000}


def rank_ms(*, created_ms: int, priority: str) -> int:
    """A job's place in its lane, the least first: a priority is a head start, so that no job waits for ever."""
    return created_ms - HEAD_STARTS_MS[priority]


def priority(*, ahead_ms: int) -> str:
    """Which priority gives this head start."""
    return next((name for name, ms in HEAD_STARTS_MS.items() if ms == ahead_ms), "normal")
