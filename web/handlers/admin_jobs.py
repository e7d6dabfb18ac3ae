"""Administrators look at anyone's jobs, cancel them and have failed ones done once more."""

from collections.abc import Sequence
from functools import partial

from aiohttp import hdrs

from atelier.accounts.sessions import Origin
from atelier.contracts import idempotency
from atelier.contracts.idempotency import Keyed
from atelier.generation import inspecting, overseeing, replaying
from atelier.generation.events import credits_changed, job_event
from atelier.generation.replaying import Act, Ids, Replayed, Rules
from atelier.jobs import overview
from atelier.kernel import faults
from atelier.kernel.ids import new_id
from web.handlers.authoring import VARY
from web.handlers.generate import ERRORS
from web.live.service import LIVE
from web.routing import REPLAYED, Call, Endpoint, Reply
from web.schemas.admin_jobs import (
    AdminCancelAnswer,
    AdminJobAnswer,
    AdminJobsAnswer,
    JobsQuery,
    ReplayAnswer,
    WholeJobAnswer,
    WhyBody,
)
from web.schemas.dead_letters import ReplayManyAnswer, ReplayManyBody
from web.submissions import SUBMISSIONS, limits, news


async def list_jobs(call: Call) -> Reply:
    """A page of jobs."""
    query: JobsQuery = call.query
    found, following = await call.services.db.read(overview.page, query.wanted(call.now_ms), limit=query.rows)
    shown = [AdminJobAnswer.of(one, locale=call.locale) for one in found]
    return Reply(AdminJobsAnswer(jobs=shown, next_cursor=following), headers=VARY)


async def read_job(call: Call) -> Reply:
    """One job with its attempts, its credits and its history."""
    window = call.services.settings.user_window
    found = await call.services.db.read(inspecting.inspect, job_id=call.path["jobId"], window=window)
    return Reply(WholeJobAnswer.whole(found, locale=call.locale), headers=VARY)


async def cancel(call: Call) -> Reply:
    """Cancel a job on behalf of its user: 200 when it is done, 202 when its worker has been asked."""
    job_id, body = call.path["jobId"], call.body
    canceled = await call.services.db.transact(
        overseeing.cancel, job_id, act=act(call, body.reason), transfer_id=new_id(), now_ms=call.now_ms
    )
    done = canceled.cancellation
    if done.done:
        told = [(canceled.user_id, job_event("canceled", job_id, done.seq, {}))]
        if done.account:
            told.append((canceled.user_id, credits_changed(done.account)))
        call.request.app[LIVE].tell(told)
    answer = AdminCancelAnswer(job_id=job_id, status="canceled" if done.done else "requested")
    return Reply(answer, status=200 if done.done else 202)


async def replay(call: Call) -> Reply:
    """A failed or canceled job once more for its user, as a new job with a new hold."""
    body: WhyBody = call.body
    done = await call.services.db.transact(
        replaying.replay,
        call.path["jobId"],
        act=act(call, body.reason),
        ids=_ids(1)[0],
        rules=_rules(call),
        keyed=_keyed(call),
        now_ms=call.now_ms,
    )
    _tell(call, done)
    headers = REPLAYED if done.again else None
    return Reply(ReplayAnswer.model_validate(done.answer), status=replaying.ACCEPTED, headers=headers)


async def replay_many(call: Call) -> Reply:
    """Dead letters by query. Nothing is replayed twice, whoever asks how often."""
    body: ReplayManyBody = call.body
    wanted = body.wanted(call.now_ms)
    if body.dry_run:
        counted = await call.services.db.read(replaying.count, wanted)
        return Reply(ReplayManyAnswer.model_validate(counted))
    done = await call.services.db.transact(
        replaying.replay_many,
        wanted,
        act=act(call, body.reason),
        ids=_ids(body.limit),
        rules=_rules(call),
        keyed=_keyed(call),
        now_ms=call.now_ms,
    )
    _tell(call, done)
    return Reply(ReplayManyAnswer.model_validate(done.answer), headers=REPLAYED if done.again else None)


def act(call: Call, reason: str) -> Act:
    """Who does it, and why."""
    origin = Origin.of(address=call.address, user_agent=call.request.headers.get(hdrs.USER_AGENT))
    return Act(admin_id=call.user.user_id, reason=reason, address=origin.address, user_agent=origin.user_agent)


def _ids(number: int) -> Sequence[Ids]:
    return [Ids(job_id=new_id(), hold_id=new_id()) for _ in range(number)]


def _rules(call: Call) -> Rules:
    settings = call.services.settings
    return Rules(
        limits=limits(settings),
        deadline_seconds=settings.deadline_seconds,
        needs_verification=settings.spending_needs_verification,
    )


def _keyed(call: Call) -> Keyed:
    # A transaction whose commit was not answered runs again: by its key it finds that it is done.
    own = partial(idempotency.keyed, user_id=call.user.user_id, route=call.frame.endpoint.operation_id, body=b"")
    return call.keyed or own(key=call.request_id + new_id())


def _tell(call: Call, done: Replayed) -> None:
    faults.point("replay.after_commit")
    if done.made:
        call.request.app[SUBMISSIONS].wake()
        call.request.app[LIVE].tell(news(done.made))


_admin = partial(Endpoint, tag="admin", auth="admin", cache="no-store")

ENDPOINTS = (
    _admin(
        method="GET",
        path="/api/admin/jobs",
        handler=list_jobs,
        summary=("任务列表（管理）", "List anyone's jobs"),
        query=JobsQuery,
        answer=AdminJobsAnswer,
    ),
    _admin(
        method="POST",
        path="/api/admin/jobs/replay",
        handler=replay_many,
        summary=("批量重放失败任务", "Replay dead letters by query"),
        body=ReplayManyBody,
        answer=ReplayManyAnswer,
        idempotent=True,
    ),
    _admin(
        method="GET",
        path="/api/admin/jobs/{jobId}",
        handler=read_job,
        summary=("查看任务（管理）", "Read anyone's job"),
        answer=WholeJobAnswer,
        errors=("NOT_FOUND",),
    ),
    _admin(
        method="POST",
        path="/api/admin/jobs/{jobId}/cancel",
        handler=cancel,
        summary=("代用户取消任务", "Cancel a job on behalf of its user"),
        body=WhyBody,
        answer=AdminCancelAnswer,
        also={202: AdminCancelAnswer},
        errors=("NOT_FOUND", "JOB_FINISHED"),
    ),
    _admin(
        method="POST",
        path="/api/admin/jobs/{jobId}/replay",
        handler=replay,
        summary=("重放任务", "Replay a job for its user"),
        body=WhyBody,
        answer=ReplayAnswer,
        status=replaying.ACCEPTED,
        errors=(
            *(
                "NOT_FOUND",
                "DRAINING",
                "JOB_NOT_FAILED",
                "JOB_REPLAYED",
                "JOB_TOO_OLD",
                "USER_DISABLED",
                "PRICE_CHANGED",
            ),
            *(*ERRORS, "PROJECT_NOT_FOUND", "VERSION_LIMIT"),
        ),
        idempotent=True,
    ),
)
