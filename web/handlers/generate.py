"""The main job: submit, cancel, try again."""

import re
from dataclasses import replace
from typing import ClassVar

from aiohttp import hdrs

from atelier.catalog import runtime
from atelier.contracts import idempotency
from atelier.generation import cancel as canceling
from atelier.generation.events import credits_changed, job_event
from atelier.generation.submit import Accepted, Submission
from atelier.jobs import queries, states
from atelier.jobs.errors import JobIsStep, JobNotFailed, JobNotFound
from atelier.kernel import faults
from atelier.kernel.errors import Invalid, Refusal
from atelier.kernel.ids import new_id
from atelier.webhooks import events as webhooks
from atelier.workshop import saves
from web import callbacks, pricing, results
from web.live.service import LIVE
from web.pricing import Priced
from web.routing import Call, Endpoint, Reply
from web.schemas.generate import CancelAnswer, GenerateBody, Generated, Submitted, Wanted
from web.snapshots import Rendered
from web.spending import spender
from web.submissions import SUBMISSIONS

PREFER_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,3})\"?\s*(?:$|[,;])")
WAIT_SECONDS_MAX = 60
RETRY_AFTER = {"Retry-After": "1"}
REPLAYED = {"Idempotency-Replayed": "true"}


class GenerationFailed(Refusal):
    """The job that the request waited for has failed; its hold is released."""

    code: ClassVar[str] = "GENERATION_FAILED"


async def generate(call: Call) -> Reply:
    """Check the request, hold its price and accept the job; wait for its end if the caller prefers to."""
    body: GenerateBody = call.body
    spender(call)
    if earlier := await _earlier(call):
        return await _accepted(call, earlier)
    submission = await wanted(call, body)
    webhook = callbacks.of_job(call, body.webhook, job_id=submission.job_id)
    into = replace(submission, keyed=call.keyed, webhook=webhook)
    return await _accepted(call, await call.request.app[SUBMISSIONS].intake.submit(into))


async def wanted(call: Call, body: Wanted) -> Submission:
    """What is wanted as a submission that the caller may make. Raises whatever it can be refused for by then."""
    agent = await call.request.app[SUBMISSIONS].agents.usable(body.agent_id, call.user, now_ms=call.now_ms)
    if body.project_id is not None:
        call.require("projects:write")
    if body.save_version and body.project_id is None:
        raise Invalid([{"path": ["saveVersion"], "message": "saveVersion needs projectId", "code": "needs_project"}])
    priced = await pricing.priced(call, agent, body)
    submission = await _submission(call, priced, seconds=body.deadline_seconds)
    return replace(submission, project_id=body.project_id, save_version=body.save_version, priority=body.priority)


async def retry(call: Call) -> Reply:
    """Submit a failed or canceled job again, as a new job with a new hold; its project, webhook and priority stay."""
    user = spender(call)
    if earlier := await _earlier(call):
        return await _accepted(call, earlier)
    job = await call.services.db.read(queries.stored, job_id=call.path["jobId"], user_id=user.user_id)
    if job is None:
        raise JobNotFound(call.path["jobId"])
    if job.project_id is not None:
        call.require("projects:write")
    if job.parent_id is not None:
        raise JobIsStep(call.path["jobId"], job_id=job.parent_id)
    if job.state not in {states.FAILED, states.CANCELED}:
        raise JobNotFailed(call.path["jobId"], status=job.state)
    agent = await call.request.app[SUBMISSIONS].agents.usable(job.agent_id, user, now_ms=call.now_ms)
    priced = pricing.anew(agent, input_data=job.input, config=job.config)
    save = await call.services.db.read(saves.of_job, job_id=call.path["jobId"]) if job.project_id else None
    submission = await _submission(call, priced, retry_of=call.path["jobId"])
    followed = await call.services.db.read(webhooks.of_job, job_id=call.path["jobId"])
    webhook = replace(followed, job_id=submission.job_id) if followed else None
    into = replace(submission, project_id=job.project_id, save_version=save is not None, webhook=webhook)
    into = replace(into, keyed=call.keyed, priority=job.priority)
    return await _accepted(call, await call.request.app[SUBMISSIONS].intake.submit(into))


async def cancel(call: Call) -> Reply:
    """Cancel a job: 200 when it is done, 202 when its worker has been asked."""
    canceled = await call.services.db.transact(
        canceling.cancel, job_id=call.path["jobId"], user_id=call.user.user_id, transfer_id=new_id(), now_ms=call.now_ms
    )
    if canceled.done:
        news = [(call.user.user_id, job_event("canceled", call.path["jobId"], canceled.seq, {}))]
        if canceled.account:
            news.append((call.user.user_id, credits_changed(canceled.account)))
        call.request.app[LIVE].tell(news)
    answer = CancelAnswer(job_id=call.path["jobId"], status="canceled" if canceled.done else "requested")
    return Reply(answer, status=200 if canceled.done else 202)


async def _earlier(call: Call) -> Accepted | None:
    """The answer that this key got before: it counts even if the agent has changed or gone since.

    Raises IdempotencyKeyReused.
    """
    keyed = call.keyed
    stored = await call.services.db.read(idempotency.find, keyed) if keyed else None
    return Accepted(answer=stored.answer, status=stored.status, replayed=True) if stored else None


async def _submission(
    call: Call, priced: Priced, *, seconds: int | None = None, retry_of: str | None = None
) -> Submission:
    agent = priced.agent
    estimate = await call.request.app[LIVE].estimates.of(agent.agent_id)
    return Submission(
        job_id=new_id(),
        hold_id=new_id(),
        user_id=call.user.user_id,
        agent_id=agent.agent_id,
        agent_version=agent.version,
        agent_name=agent.name,
        needs_purchase=runtime.needs_purchase(agent, user_id=call.user.user_id),
        price=priced.credits,
        pricing=agent.pricing,
        kind=agent.kind,
        provider=agent.provider,
        project_id=None,
        input=priced.input_data,
        config=priced.config,
        deadline_seconds=seconds or call.services.settings.deadline_seconds,
        retry_of=retry_of,
        key_id=call.user.key_id,
        estimate={"p50Seconds": estimate.p50_seconds, "p90Seconds": estimate.p90_seconds} if estimate else None,
    )


async def _accepted(call: Call, accepted: Accepted) -> Reply:
    call.decided()
    if (wait := _preferred_wait(call)) and (done := await _ended(call, accepted.answer["jobId"], seconds=wait)):
        return Reply(done, status=200, headers=REPLAYED if accepted.replayed else None)
    faults.point("web.before_answer")
    headers = {"Location": accepted.answer["links"]["self"], **RETRY_AFTER}
    if accepted.replayed:
        headers |= REPLAYED
    return Reply(raw=accepted.encoded(), status=accepted.status, headers=headers)


async def _ended(call: Call, job_id: str, *, seconds: int) -> Generated | None:
    """The result, if the job completes in time; None if it is still at work, or canceled. Raises GenerationFailed."""
    transport = call.request.transport

    async def is_enough(shown: Rendered) -> bool:
        return shown.finished

    shown = await call.request.app[LIVE].waiting.until(
        is_enough,
        job_id,
        user_id=call.user.user_id,
        locale=call.locale,
        authorization=call.request.headers[hdrs.AUTHORIZATION],
        seconds=seconds,
        is_gone=lambda: transport is None or transport.is_closing(),
    )
    if not shown.finished:
        return None
    job = await call.services.db.read(queries.stored, job_id=job_id, user_id=call.user.user_id)
    if job is None or job.state == states.CANCELED:
        return None
    if job.state == states.FAILED:
        raise GenerationFailed(job_id=job_id, error_code=job.error_code)
    result = await results.result(call, job_id, job)
    return Generated(result=result, usage_id=job_id, processing_time=job.run_ms)


def _preferred_wait(call: Call) -> int:
    found = PREFER_WAIT.search(call.request.headers.get("Prefer", ""))
    return min(int(found[1]), WAIT_SECONDS_MAX) if found else 0


ERRORS = (
    *("AGENT_UNAVAILABLE", "NOT_PURCHASED", "INSUFFICIENT_CREDITS", "TOO_MANY_WAITING", "EMAIL_UNVERIFIED"),
    *("DRAINING", "KEY_CREDITS_EXHAUSTED"),
)
PRICED = ("PRICE_ABOVE_MAX", "QUOTE_INVALID", "QUOTE_EXPIRED")

ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/api/workshop/generate",
        handler=generate,
        scope="generate",
        summary=("提交生成任务", "Submit a generation"),
        tag="jobs",
        body=GenerateBody,
        body_max=128 * 1024,
        answer=Submitted,
        status=202,
        also={200: Generated},
        takes=("Prefer",),
        gives=("Location", "Retry-After"),
        errors=(*ERRORS, *PRICED, "PROJECT_NOT_FOUND", "VERSION_LIMIT", "GENERATION_FAILED"),
        rate="submit",
        idempotent=True,
    ),
    Endpoint(
        method="POST",
        path="/api/jobs/{jobId}/cancel",
        handler=cancel,
        scope="generate",
        summary=("取消任务", "Cancel a job"),
        tag="jobs",
        answer=CancelAnswer,
        also={202: CancelAnswer},
        errors=("NOT_FOUND", "JOB_FINISHED", "JOB_IS_STEP"),
    ),
    Endpoint(
        method="POST",
        path="/api/jobs/{jobId}/retry",
        handler=retry,
        scope="generate",
        summary=("重试任务", "Try a job again"),
        tag="jobs",
        answer=Submitted,
        status=202,
        also={200: Generated},
        takes=("Prefer",),
        gives=("Location", "Retry-After"),
        errors=(
            *ERRORS,
            "NOT_FOUND",
            "JOB_NOT_FAILED",
            "JOB_IS_STEP",
            "PROJECT_NOT_FOUND",
            "VERSION_LIMIT",
            "GENERATION_FAILED",
        ),
        rate="submit",
        idempotent=True,
    ),
)
