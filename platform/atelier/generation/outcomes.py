"""How an attempt ended, as plain values: settled for good, or back to waiting."""

from dataclasses import dataclass, replace
from random import random
from typing import Any

from atelier.generation import attempt as attempts
from atelier.generation import metering
from atelier.generation.attempt import Attempt
from atelier.generation.into_project import Into
from atelier.generation.settle import Settlement
from atelier.generation.sweep import TOO_LATE
from atelier.jobs import states
from atelier.jobs.ending import Ending
from atelier.jobs.lanes import LaneKey
from atelier.kernel.clock import SECOND_MS
from atelier.kernel.errors import Transient
from atelier.kernel.ids import new_id
from atelier.ledger.shares import Terms
from atelier.providers.errors import Throttled

BUG = "INTERNAL"
MESSAGE_CHARS_MAX = 300
ASKED_SECONDS_MIN = 1.0
ASKED_SECONDS_MAX = 300.0
PATIENCE_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Back to waiting in its lane, due after `wait_ms`. `refund` attempts don't count."""

    job_id: str
    fence: int
    lane: LaneKey
    seq: int
    wait_ms: int = 0
    error_code: str | None = None
    refund: int = 0


Outcome = Settlement | Retry


def completed(attempt: Attempt, result: Any, *, terms: Terms, versions_max: int, kept_ms: int) -> Settlement:
    """It made something, kept for so long: what that costs is taken of the hold, and shared.

    A project that it is for may get so many versions.
    """
    claimed = attempt.claimed
    into = None
    if claimed.project_id is not None:
        into = Into(claimed.project_id, claimed.user_id, claimed.agent_id, claimed.kind, versions_max)
    bill = metering.bill(claimed, result)
    made = _ending(attempt, states.COMPLETED, outcome=states.COMPLETED, used=bill.used, result=bill.result)
    return replace(made, ending=replace(made.ending, kept_ms=kept_ms), into=into, terms=terms)


def canceled(attempt: Attempt) -> Settlement:
    """Its user wants no more of it."""
    return _ending(attempt, states.CANCELED, outcome=states.CANCELED)


def failed(attempt: Attempt, error_code: str, error_message: str = "") -> Settlement:
    """It is of no use to try again."""
    return _ending(attempt, states.FAILED, outcome=error_code, error_code=error_code, error_message=error_message)


def unavailable(attempt: Attempt, error: Transient, *, backoff_ms: int) -> Outcome:
    """The world failed: once more after a while, unless this was the last attempt.

    Who asks for a longer wait than ours is given it, within bounds. A provider that has no room now has not tried the
    job: that attempt doesn't count.
    """
    claimed = attempt.claimed
    if isinstance(error, Throttled):
        return _retry(attempt, wait_ms=patience_ms(error), error_code=error.code, refund=1)
    if claimed.attempts >= claimed.attempts_max:
        return failed(attempt, error.code, str(error))
    wait_ms = states.backoff_ms(base_ms=backoff_ms, attempts=claimed.attempts, jitter=random())  # noqa: S311 - no secret
    return _retry(attempt, wait_ms=wait_ms, error_code=error.code)


def patience_ms(error: Throttled) -> int:
    """The wait that a provider asks for, from one second to five minutes; three seconds when it names none."""
    asked = PATIENCE_SECONDS if error.retry_after is None else error.retry_after
    return int(SECOND_MS * min(max(asked, ASKED_SECONDS_MIN), ASKED_SECONDS_MAX))


def stopped(attempt: Attempt) -> Outcome | None:
    """It was told to stop: None when the job is another's now."""
    if attempt.reason == attempts.CANCELED:
        return canceled(attempt)
    if attempt.reason == attempts.EXPIRED:
        return failed(attempt, TOO_LATE)
    if attempt.reason == attempts.SHUTDOWN:
        return _retry(attempt, refund=1)
    return None


def _retry(attempt: Attempt, *, wait_ms: int = 0, error_code: str | None = None, refund: int = 0) -> Retry:
    claimed = attempt.claimed
    return Retry(
        job_id=claimed.id,
        fence=claimed.fence,
        lane=claimed.lane,
        seq=attempt.next_seq(),
        wait_ms=wait_ms,
        error_code=error_code,
        refund=refund,
    )


def _ending(
    attempt: Attempt,
    state: str,
    *,
    outcome: str,
    used: int = 0,
    result: Any = None,
    error_code: str | None = None,
    error_message: str = "",
) -> Settlement:
    ending = Ending(
        job_id=attempt.claimed.id,
        fence=attempt.claimed.fence,
        state=state,
        seq=attempt.next_seq(),
        outcome=outcome,
        used=used,
        result=result,
        error_code=error_code,
        error_message=error_message[:MESSAGE_CHARS_MAX] or None,
    )
    return Settlement(ending=ending, transfer_id=new_id(), held=attempt.claimed.held)
