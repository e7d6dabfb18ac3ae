"""Submitting many jobs at once: each is judged by itself, and all that are accepted are written together.

The batch, its jobs, their holds and messages, and the stored answer are one transaction: whoever dies, there is all of
it or nothing. When nothing is accepted nothing is written, and the key is free for another try.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sqlalchemy.orm import Session

from atelier.contracts import idempotency
from atelier.contracts.idempotency import Keyed
from atelier.generation.submit import ACCEPTED, Accepted, Limits, Submission, submit
from atelier.jobs import batches
from atelier.jobs.batches import Batch
from atelier.kernel import faults
from atelier.kernel.errors import Conflict, Invalid, RateLimited, Refusal


class BatchRefused(Conflict):
    """Not one of the items was accepted; `items` say why."""

    code: ClassVar[str] = "BATCH_REFUSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Items that came together: submissions, and what others were refused for before. Ids are made by the caller."""

    batch_id: str
    user_id: str
    items: Sequence[Submission | Refusal]
    keyed: Keyed | None = None

    @property
    def submissions(self) -> list[Submission]:
        """Those that may be accepted."""
        return [one for one in self.items if isinstance(one, Submission)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundled:
    """The stored answer, and what is new with it. In `items` is what each job answered, or a refusal's parts."""

    answer: dict[str, Any]
    replayed: bool = False
    fresh: Sequence[tuple[Submission, Accepted]] = field(default_factory=tuple)

    @property
    def accepted(self) -> int:
        """How many of them are jobs now."""
        return sum("jobId" in item for item in self.answer["items"])


def submit_batch(
    session: Session, bundle: Bundle, *, limits: Limits, crowded: AbstractSet[str] = frozenset(), now_ms: int
) -> Bundled:
    """All of it. `accepted` is 0 when nothing was written. Raises IdempotencyKeyReused."""
    if stored := idempotency.find(session, bundle.keyed):
        # It is this very request when its commit was in doubt: then nobody has had the answer yet.
        return Bundled(answer=stored.answer, replayed=stored.answer["batchId"] != bundle.batch_id)
    if not bundle.keyed and (written := batches.find(session, batch_id=bundle.batch_id, user_id=bundle.user_id)):
        return _written(session, bundle, written, limits=limits)
    outcomes = iter(submit(session, bundle.submissions, limits=limits, crowded=crowded) if bundle.submissions else ())
    items: list[dict[str, Any]] = []
    fresh: list[tuple[Submission, Accepted]] = []
    for one in bundle.items:
        outcome = next(outcomes) if isinstance(one, Submission) else one
        if isinstance(outcome, Refusal):
            items.append(described(outcome))
        elif isinstance(one, Submission):
            items.append(outcome.answer)
            fresh.append((one, outcome))
    answer = {"batchId": bundle.batch_id, "items": items}
    if fresh:
        kept = [{"jobId": item["jobId"]} if "jobId" in item else item for item in items]
        batch = Batch(id=bundle.batch_id, user_id=bundle.user_id, items=kept, created_ms=now_ms)
        batches.create(session, batch)
        idempotency.store(session, bundle.keyed, status=ACCEPTED, answer=answer, now_ms=now_ms)
        faults.point("batch.before_commit")
    return Bundled(answer=answer, fresh=fresh)


def _written(session: Session, bundle: Bundle, batch: Batch, *, limits: Limits) -> Bundled:
    """The answer once more, because the commit was in doubt: what was refused then stays so."""
    jobs = set(batch.job_ids)
    accepted = [one for one in bundle.submissions if one.job_id in jobs]
    outcomes = [one for one in submit(session, accepted, limits=limits) if isinstance(one, Accepted)]
    answers = {one.answer["jobId"]: one.answer for one in outcomes}
    items = [answers.get(item["jobId"], item) if "jobId" in item else item for item in batch.items]
    return Bundled(answer={"batchId": batch.id, "items": items}, fresh=list(zip(accepted, outcomes, strict=True)))


def described(refusal: Refusal) -> dict[str, Any]:
    """A refusal as plain values: its code, the fields that are wrong, and what else is public of it."""
    told: dict[str, Any] = {name: value for name, value in refusal.details.items() if name != "details"}
    if isinstance(refusal, RateLimited):
        told["retry_after"] = refusal.retry_after
    fields = refusal.fields if isinstance(refusal, Invalid) else []
    return {"code": refusal.code, "fields": fields, "details": told}
