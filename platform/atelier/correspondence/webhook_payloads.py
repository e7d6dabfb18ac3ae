"""What is sent: a type, a time, and the job without its content, with links to where that is.

A job that has ended never changes again, so the body is made when it is sent, and is the same in every attempt.
"""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json
from sqlalchemy.orm import Session

from atelier.jobs import queries as jobs
from atelier.jobs.queries import Snapshot
from atelier.kernel.clock import rfc3339
from atelier.webhooks import states
from atelier.webhooks.events import Claimed

BYTES_MAX = 20 * 1024


def body(session: Session, claimed: Claimed, *, address: str) -> bytes | None:
    """The body of an event, None when its job is gone; links begin with `address`."""
    if claimed.type == states.PING:
        return _encoded(claimed, {"webhookId": claimed.endpoint_id})
    found = jobs.snapshots(session, job_ids=[claimed.job_id]) if claimed.job_id else {}
    job = found.get(claimed.job_id or "")
    return _encoded(claimed, document(job, address=address)) if job else None


def document(job: Snapshot, *, address: str) -> dict[str, Any]:
    """A job that has ended, as `GET /api/jobs/{jobId}` shows it, less what is for people or moves while it runs."""
    path = f"{address}/api/jobs/{job.id}"
    ran = job.finished_ms is not None and job.started_ms is not None
    return {
        "id": job.id,
        "status": job.state,
        "seq": job.seq,
        "kind": job.kind,
        "agentId": job.agent_id,
        "projectId": job.project_id,
        "credits": {"held": job.held, "used": job.used},
        "attempts": job.attempts,
        "errorCode": job.error_code,
        "createdAt": rfc3339(job.created_ms),
        "startedAt": rfc3339(job.started_ms),
        "finishedAt": rfc3339(job.finished_ms),
        "processingTime": max(0, (job.finished_ms or 0) - (job.started_ms or 0)) if ran else None,
        "links": {"self": path, "events": f"{path}/events", "result": f"{path}/result"},
    }


def _encoded(claimed: Claimed, data: Mapping[str, Any]) -> bytes:
    encoded = to_json({"type": claimed.type, "timestamp": rfc3339(claimed.created_ms), "data": data})
    assert len(encoded) <= BYTES_MAX, "what is told of a job has a bound"
    return encoded
