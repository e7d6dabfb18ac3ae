"""The end of a job: final state, what is taken of the hold, the attempt's outcome; in one transaction or not at all.

Settlements that come together are written together. Rows are locked in one order everywhere: jobs by id, then projects
by id, then API keys by id, then accounts by id, then controls, which settlements only share, then lanes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from atelier.accounts import key_budgets
from atelier.accounts.key_budgets import Spending
from atelier.contracts import outbox
from atelier.contracts.messages import ADVANCE, JobMessage
from atelier.generation import into_project, taking
from atelier.generation.into_project import Into
from atelier.generation.submit import hold_key
from atelier.jobs import ending
from atelier.jobs.ending import Ending
from atelier.jobs.models import JOBS
from atelier.kernel import faults
from atelier.ledger import service as ledger
from atelier.ledger.posting import Posted
from atelier.ledger.service import Resolution
from atelier.ledger.shares import Terms
from atelier.webhooks import events as webhooks


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """How a job ends. `held` is what its hold reserved; 0 means that there is no hold. What is not used is released.

    `into` is the project that it was for, if there was one; `terms` say who shares in what is taken.
    """

    ending: Ending
    transfer_id: str
    held: int
    into: Into | None = None
    terms: Terms | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The job has ended by this settlement; `account` is the user's after it, None when no credits were concerned.

    `again` means that it had ended by this settlement before, in a transaction whose answer was lost.
    """

    account: Posted | None
    again: bool = False


def settle(session: Session, settlements: Sequence[Settlement], *, now_ms: int) -> list[Settled | None]:
    """Carry out those whose fence still holds; the others get None and change nothing."""
    finished = ending.finish(session, [one.ending for one in settlements])
    faults.point("settle.after_state")
    ended = [one for one in settlements if one.ending.job_id in finished.now]
    into_project.save(session, [(one.ending, one.into) for one in ended], now_ms=now_ms)
    by_key = [
        Spending(key_id, one.held, one.ending.used) for one in ended if (key_id := finished.keys.get(one.ending.job_id))
    ]
    key_budgets.settle(session, by_key)
    accounts = _resolved(session, [one for one in ended if one.held], now_ms=now_ms)
    taking.offer(session, finished.places, now_ms=now_ms)
    told = [
        webhooks.Ended(one.ending.job_id, one.ending.state, one.transfer_id)
        for one in ended
        if one.ending.job_id not in finished.steps
    ]
    webhooks.record(session, told, owners=JOBS, now_ms=now_ms)
    families = sorted({*finished.steps.values(), *finished.cut_off})
    outbox.enqueue_many(session, [(ADVANCE, JobMessage(job_id=one)) for one in families], now_ms=now_ms)
    faults.point("settle.before_commit")
    outcomes: dict[str, Settled] = {job_id: Settled(account=None, again=True) for job_id in finished.before}
    outcomes |= {one.ending.job_id: Settled(account=accounts.get(one.ending.job_id)) for one in ended}
    return [outcomes.get(one.ending.job_id) for one in settlements]


def _resolved(session: Session, priced: Sequence[Settlement], *, now_ms: int) -> dict[str, Posted]:
    if not priced:
        return {}
    resolutions = [
        Resolution(
            transfer_id=one.transfer_id,
            hold_key=hold_key(one.ending.job_id),
            amount=one.ending.used or None,
            terms=one.terms,
        )
        for one in priced
    ]
    posted = ledger.resolve(session, resolutions, now_ms=now_ms)
    return {one.ending.job_id: account for one, account in zip(priced, posted, strict=True)}
