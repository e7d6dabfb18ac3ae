"""Reading jobs: one, many, and what they have made."""

from typing import Any, ClassVar

from aiohttp import hdrs, web
from pydantic_core import to_json

from atelier.jobs import queries, states
from atelier.jobs.errors import JobFinished, JobNotFound
from atelier.jobs.queries import Filter
from atelier.kernel.errors import Conflict, Forbidden, NotFound, Refusal
from web import outputs, results, steps
from web.live import reads
from web.live.service import LIVE
from web.routing import Call, Endpoint, Reply
from web.schemas.jobs import JobListAnswer, JobListQuery, JobQuery, OutputQuery, ResultAnswer, WholeJobAnswer
from web.schemas.model import Pagination
from web.snapshots import Rendered

OUTPUT_NUMBER_MAX = 999


class JobNotFinished(Conflict):
    """The job has no result yet."""

    code: ClassVar[str] = "JOB_NOT_FINISHED"


class JobFailed(Conflict):
    """The job has no result, because it failed; `error_code` says why."""

    code: ClassVar[str] = "GENERATION_FAILED"


class LinkExpired(Refusal):
    """The link was good, and is no longer."""

    code: ClassVar[str] = "GONE"


async def read_job(call: Call) -> Reply:
    """One of the caller's jobs: at once, or with `wait` as soon as there is news."""
    query: JobQuery = call.query
    shown = await _awaited(call, query) if query.wait else await _shown(call)
    body, etag = await _whole(call, shown)
    headers = {"ETag": etag}
    if call.unchanged(etag):
        return Reply(status=304, headers=headers)
    return Reply(raw=body, headers=headers)


async def list_jobs(call: Call) -> Reply:
    """The caller's jobs, newest first; with `projectId` their own for it: what others generate for it is theirs."""
    query: JobListQuery = call.query
    wanted = Filter(
        user_id=call.user.user_id,
        state=query.status,
        agent_id=query.agent_id,
        project_id=query.project_id,
        kind=query.kind,
        batch_id=query.batch_id,
        from_ms=query.from_,
        until_ms=query.to,
    )
    found, total = await call.services.db.read(queries.page, wanted, offset=query.offset, limit=query.limit)
    snapshots = call.request.app[LIVE].snapshots
    jobs = [await snapshots.document(entry, locale=call.locale) for entry in await snapshots.entries(found)]
    pagination = Pagination.of(query, total=total).model_dump(by_alias=True)
    return Reply(raw=to_json({"jobs": jobs, "pagination": pagination}))


async def read_result(call: Call) -> Reply:
    """What a completed job has made; 409 while there is nothing, and when there will be nothing."""
    job = await call.services.db.read(queries.stored, job_id=call.path["jobId"], user_id=call.user.user_id)
    if job is None:
        raise JobNotFound(call.path["jobId"])
    if job.state in states.ALIVE:
        raise JobNotFinished(job_status=job.state)
    if job.state == states.FAILED:
        raise JobFailed(job_status=job.state, error_code=job.error_code)
    if job.state == states.CANCELED:
        raise JobFinished(job_status=job.state)
    return Reply(raw=to_json(await results.result(call, call.path["jobId"], job)))


async def read_output(call: Call) -> web.StreamResponse:
    """The bytes of one output, for whoever has its signed link from the result."""
    query: OutputQuery = call.query
    job_id, number = call.path["jobId"], _number(call.path["number"])
    keyring = call.services.settings.keyring
    if not outputs.is_signed(
        keyring, job_id=job_id, number=number, expires_ms=query.expires, signature=query.signature
    ):
        raise Forbidden
    if call.now_ms >= query.expires:
        raise LinkExpired
    result: Any = await call.services.db.read(reads.result, job_id=job_id)
    if result is None or number >= len(result["outputs"]):
        raise NotFound
    output = result["outputs"][number]
    return await outputs.send(
        call.request,
        call.request.app[outputs.STORAGE],
        output,
        name=_file_name(job_id, number, output),
        link_seconds=call.services.settings.file_link_seconds,
    )


async def _shown(call: Call) -> Rendered:
    snapshots, job_id, user_id, locale = (
        call.request.app[LIVE].snapshots,
        call.path["jobId"],
        call.user.user_id,
        call.locale,
    )
    known = snapshots.known(job_id, user_id=user_id, locale=locale)
    return known or await snapshots.shown(job_id, user_id=user_id, locale=locale)


async def _whole(call: Call, shown: Rendered) -> tuple[bytes, str]:
    """What is answered, and the tag of just that: of a job with steps the client never gets the job's own."""
    return await steps.added(call, shown) if shown.composed else (shown.body, shown.etag)


async def _awaited(call: Call, query: JobQuery) -> Rendered:
    seq, transport = query.seq, call.request.transport

    has_one = hdrs.IF_NONE_MATCH in call.request.headers

    async def is_enough(shown: Rendered) -> bool:
        if shown.finished:
            return True
        if seq is not None:
            return shown.seq > seq
        return has_one and not call.unchanged((await _whole(call, shown))[1])

    return await call.request.app[LIVE].waiting.until(
        is_enough,
        call.path["jobId"],
        user_id=call.user.user_id,
        locale=call.locale,
        authorization=call.request.headers[hdrs.AUTHORIZATION],
        seconds=query.wait,
        is_gone=lambda: transport is None or transport.is_closing(),
    )


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3):
        raise NotFound
    return int(text)


def _file_name(job_id: str, number: int, output: dict[str, Any]) -> str:
    extension = str(output.get("key", "output.txt")).rpartition(".")[2]
    return f"{job_id}-{number}.{extension}"


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/jobs",
        handler=list_jobs,
        scope="jobs:read",
        summary=("任务列表", "List jobs"),
        tag="jobs",
        query=JobListQuery,
        answer=JobListAnswer,
    ),
    Endpoint(
        method="GET",
        path="/api/jobs/{jobId}",
        handler=read_job,
        scope="jobs:read",
        summary=("查看任务", "Read a job"),
        tag="jobs",
        query=JobQuery,
        answer=WholeJobAnswer,
        also={304: None},
    ),
    Endpoint(
        method="GET",
        path="/api/jobs/{jobId}/result",
        handler=read_result,
        scope="jobs:read",
        summary=("任务结果", "Read a job's result"),
        tag="jobs",
        answer=ResultAnswer,
        errors=("JOB_NOT_FINISHED", "GENERATION_FAILED", "JOB_FINISHED", "RESULT_EXPIRED"),
        statuses={"GENERATION_FAILED": 409},
        cache="no-store",
    ),
    Endpoint(
        method="GET",
        path="/api/jobs/{jobId}/outputs/{number}",
        handler=read_output,
        summary=("下载任务产出", "Download an output"),
        tag="jobs",
        auth="public",
        query=OutputQuery,
        produces="*/*",
        also={206: None, 302: None, 304: None, 416: None},
        errors=("FORBIDDEN", "GONE", "RESULT_EXPIRED", "NOT_FOUND"),
    ),
)
