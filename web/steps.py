"""The steps of a job that is put together from others, beside the job as every poll shows it."""

from hashlib import blake2b
from typing import Any

from pydantic_core import to_json

from atelier.jobs import queries
from atelier.jobs.queries import Step
from atelier.kernel.clock import rfc3339
from web import messages
from web.messages import Locale
from web.routing import Call
from web.snapshots import Rendered


async def added(call: Call, shown: Rendered) -> tuple[bytes, str]:
    """The job with its steps, and what names this version of both."""
    found = await call.services.db.read(queries.steps, job_id=call.path["jobId"])
    steps = to_json([_document(one, locale=call.locale) for one in found])
    digest = blake2b(steps, digest_size=8).hexdigest()
    return shown.body[:-1] + b',"steps":' + steps + b"}", f'{shown.etag[:-1]}-{digest}"'


def _document(step: Step, *, locale: Locale) -> dict[str, Any]:
    return {
        "name": step.name,
        "jobId": step.id,
        "kind": step.kind,
        "agentId": step.agent_id,
        "status": step.state,
        "errorCode": step.error_code,
        "errorMessage": messages.sentence(step.error_code, locale) if step.error_code else None,
        "createdAt": rfc3339(step.created_ms),
        "startedAt": rfc3339(step.started_ms),
        "finishedAt": rfc3339(step.finished_ms),
    }
