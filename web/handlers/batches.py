"""Many jobs at once: submit, look at all of them, cancel all of them."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import from_json, to_json

from atelier.contracts import idempotency
from atelier.generation import cancel as canceling
from atelier.generation.batch import BatchRefused, Bundle
from atelier.generation.events import credits_changed, job_event
from atelier.generation.submit import Submission
from atelier.jobs import batches, queries, states
from atelier.jobs.batches import ITEMS_MAX
from atelier.jobs.errors import BatchNotFound
from atelier.jobs.queries import Snapshot
from atelier.kernel import faults
from atelier.kernel.clock import now_ms, rfc3339
from atelier.kernel.errors import Invalid, Refusal
from atelier.kernel.ids import new_id
from web import problems
from web.handlers.generate import ERRORS, PRICED, RETRY_AFTER, wanted
from web.live.service import LIVE
from web.problems import Fault
from web.routing import REPLAYED, Call, Endpoint, Reply
from web.schemas.batches import BatchAnswer, BatchBody, BatchCanceled, BatchQuery, BatchState
from web.schemas.generate import Wanted
from web.schemas.model import Pagination
from web.spending import spender
from web.submissions import SUBMISSIONS

BODY_MAX = 1024 * 1024
BREATHE_ITEMS = 10


async def submit(call: Call) -> Reply:
    """Check every item by itself, and accept those that are good, together. Raises BatchRefused when none is."""
    body: BatchBody = call.body
    user = spender(call)
    stored = await call.services.db.read(idempotency.find, call.keyed) if call.keyed else None
    if stored:
        return _answered(call, stored.answer, replayed=True)
    _count(call, len(body.items))
    batch_id = new_id()
    items: list[Submission | Refusal] = []
    for number, item in enumerate(body.items):
        if number % BREATHE_ITEMS == 0:
            await asyncio.sleep(0)
        items.append(await _item(call, item, batch_id=batch_id))
    bundle = Bundle(batch_id=batch_id, user_id=user.user_id, items=items, keyed=call.keyed)
    bundled = await call.request.app[SUBMISSIONS].intake.submit_together(bundle)
    if not bundled.accepted:
        raise BatchRefused(items=[_told(call, number, one) for number, one in enumerate(bundled.answer["items"])])
    faults.point("web.before_answer")
    return _answered(call, bundled.answer, replayed=bundled.replayed)


async def read(call: Call) -> Reply:
    """One of the caller's batches: how its jobs are, and a page of its items."""
    query: BatchQuery = call.query
    batch = await call.services.db.read(batches.find, batch_id=call.path["batchId"], user_id=call.user.user_id)
    if batch is None:
        raise BatchNotFound(call.path["batchId"])
    jobs = await call.services.db.read(queries.of_batch, batch_id=batch.id)
    snapshots = call.request.app[LIVE].snapshots
    entries = {entry.job.id: entry for entry in await snapshots.entries(jobs)}
    fractions = [
        1.0 if entry.job.finished else (entry.progress and entry.progress.fraction) or 0.0 for entry in entries.values()
    ]
    page: list[dict[str, Any]] = []
    for number, item in list(enumerate(batch.items))[query.offset : query.offset + query.limit]:
        entry = entries.get(item.get("jobId", ""))
        job = await snapshots.document(entry, locale=call.locale) if entry else None
        page.append({"index": number, "job": job, "error": None if "jobId" in item else _problem(call, item)})
    answer = {
        "batchId": batch.id,
        "finished": all(job.finished for job in jobs),
        "progress": round(sum(fractions) / max(1, len(fractions)), 3),
        **_sums(jobs, refused=len(batch.items) - len(batch.job_ids)),
        "createdAt": rfc3339(batch.created_ms),
        "items": page,
        "pagination": Pagination.of(query, total=len(batch.items)).model_dump(by_alias=True),
        "links": _links(batch.id),
    }
    return Reply(raw=to_json(answer))


async def cancel(call: Call) -> Reply:
    """Cancel whatever of a batch has not ended: 200 when that is done, 202 when workers have been asked."""
    user_id, batch_id = call.user.user_id, call.path["batchId"]
    canceled = await call.services.db.transact(
        canceling.cancel_batch,
        batch_id=batch_id,
        user_id=user_id,
        transfer_ids=[new_id() for _ in range(ITEMS_MAX)],
        now_ms=call.now_ms,
    )
    news = [(user_id, job_event("canceled", job_id, seq, {})) for job_id, seq in canceled.done]
    if canceled.account:
        news.append((user_id, credits_changed(canceled.account)))
    call.request.app[LIVE].tell(news)
    answer = BatchCanceled(batch_id=batch_id, canceled=len(canceled.done), requested=canceled.asked)
    return Reply(answer, status=202 if canceled.asked else 200)


def _count(call: Call, items: int) -> None:
    """Each item is a submission. Raises RateLimited, or Invalid for more than there can ever be room for."""
    rates = call.services.rates
    most = rates.submissions_max(call.user)
    if items > most:
        code = "submissions_per_minute"
        raise Invalid([{"path": ["items"], "message": code, "code": code, "context": {"limit": most}}])
    # Counted now: what a request that was held up for minutes began with belongs to a window that is over.
    call.charge(rates.submissions(call.user, items, now_ms()))


async def _item(call: Call, item: Wanted | dict[str, Any], *, batch_id: str) -> Submission | Refusal:
    try:
        checked = item if isinstance(item, Wanted) else Wanted.model_validate(item)
        return replace(await wanted(call, checked), batch_id=batch_id)
    except ValidationError as error:
        return Invalid([_plain(detail) for detail in problems.of_validation(error).details])
    except Refusal as refusal:
        return refusal


def _plain(detail: Mapping[str, Any]) -> dict[str, Any]:
    known: dict[str, Any] = from_json(to_json(detail, fallback=str))
    return known


def _answered(call: Call, answer: Mapping[str, Any], *, replayed: bool) -> Reply:
    call.decided()
    items: Sequence[Mapping[str, Any]] = answer["items"]
    accepted = sum("jobId" in item for item in items)
    links = _links(answer["batchId"])
    told = {
        "success": True,
        "batchId": answer["batchId"],
        "accepted": accepted,
        "refused": len(items) - accepted,
        "items": [_told(call, number, item) for number, item in enumerate(items)],
        "links": links,
    }
    headers = {"Location": links["self"], **RETRY_AFTER, **(REPLAYED if replayed else {})}
    return Reply(raw=to_json(told), status=202, headers=headers)


def _told(call: Call, number: int, item: Mapping[str, Any]) -> dict[str, Any]:
    if "jobId" in item:
        return {"index": number, **item}
    return {"index": number, "success": False, "error": _problem(call, item)}


def _problem(call: Call, item: Mapping[str, Any]) -> dict[str, Any]:
    """What a refused item would have been answered alone."""
    code: str = item["code"]
    members = {to_camel(name): value for name, value in item["details"].items()}
    fault = Fault(code=code, status=problems.STATUSES.get(code, 400), details=item["fields"], members=members)
    told: dict[str, Any] = from_json(problems.render(fault, request_id=call.request_id, locale=call.locale))
    return told


def _sums(jobs: Sequence[Snapshot], *, refused: int) -> dict[str, Any]:
    counts = Counter(job.state for job in jobs)
    held = sum(job.held for job in jobs if not job.finished)
    return {
        "counts": {state: counts[state] for state in (*states.ALIVE, *states.FINISHED)} | {"refused": refused},
        "credits": {"held": held, "used": sum(job.used for job in jobs)},
    }


def _links(batch_id: str) -> dict[str, str]:
    path = f"/api/jobs/batch/{batch_id}"
    return {"self": path, "cancel": f"{path}/cancel"}


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/api/jobs/batch",
        handler=submit,
        scope="generate",
        summary=("批量提交生成任务", "Submit many generations"),
        tag="jobs",
        body=BatchBody,
        body_max=BODY_MAX,
        answer=BatchAnswer,
        status=202,
        gives=("Location", "Retry-After"),
        errors=("BATCH_REFUSED", "EMAIL_UNVERIFIED", *sorted({*ERRORS, *PRICED} - {"EMAIL_UNVERIFIED"})),
        idempotent=True,
    ),
    Endpoint(
        method="GET",
        path="/api/jobs/batch/{batchId}",
        handler=read,
        scope="jobs:read",
        summary=("查看批次", "Read a batch"),
        tag="jobs",
        query=BatchQuery,
        answer=BatchState,
    ),
    Endpoint(
        method="POST",
        path="/api/jobs/batch/{batchId}/cancel",
        handler=cancel,
        scope="generate",
        summary=("取消批次中的任务", "Cancel a batch"),
        tag="jobs",
        answer=BatchCanceled,
        also={202: BatchCanceled},
    ),
)
