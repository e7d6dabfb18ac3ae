"""A job as JSON: the one shape that polling, lists and snapshot events show."""

from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from atelier.jobs import states
from atelier.jobs.queries import Snapshot
from atelier.kernel.clock import rfc3339
from atelier.live import events
from atelier.live.wire import Notice
from web import messages
from web.live.estimates import Estimate
from web.live.fresh import Known
from web.live.lines import Standing
from web.messages import Locale


class Progress(NamedTuple):
    """How far a running job is, and the number of the event that said so. Not every provider tells a fraction."""

    seq: int
    fraction: float | None
    step: str | None


def progress(notice: Notice) -> Progress | None:
    """What a progress event says; None when that can't be read, as of another version's."""
    try:
        data: Any = from_json(notice.envelope)["data"]
        fraction, step = data.get("progress"), data.get("step")
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    known = isinstance(fraction, int | float) and not isinstance(fraction, bool) and 0 <= fraction <= 1
    return Progress(notice.seq, fraction if known else None, step if isinstance(step, str) else None)


NOWHERE: Known[Standing | None] = Known(None)
NO_ESTIMATE: Known[Estimate | None] = Known(None)


class Surroundings(NamedTuple):
    """What is shown of a job beyond its row."""

    progress: Progress | None
    standing: Standing | None
    estimate: Estimate | None


def document(job: Snapshot, around: Surroundings, *, locale: Locale) -> dict[str, Any]:
    """The job."""
    seq, fraction, step = around.progress or Progress(job.seq, None, None)
    estimate = around.estimate
    position, blocked_by = around.standing or (None, None)
    path = f"/api/jobs/{job.id}"
    ran = job.finished_ms is not None and job.started_ms is not None
    return {
        "id": job.id,
        "status": job.state,
        "seq": max(seq, job.seq),
        "kind": job.kind,
        "agentId": job.agent_id,
        "projectId": job.project_id,
        "batchId": job.batch_id,
        "parentId": job.parent_id,
        "progress": float(job.state == states.COMPLETED) if fraction is None else fraction,
        "step": step,
        "queuePosition": position,
        "blockedBy": blocked_by,
        "blockedMessage": messages.blocked(blocked_by, locale) if blocked_by else None,
        "estimate": estimate and {"p50Seconds": estimate.p50_seconds, "p90Seconds": estimate.p90_seconds},
        "credits": {"held": job.held, "used": job.used},
        "attempts": job.attempts,
        "errorCode": job.error_code,
        "errorMessage": messages.sentence(job.error_code, locale) if job.error_code else None,
        "createdAt": rfc3339(job.created_ms),
        "startedAt": rfc3339(job.started_ms),
        "finishedAt": rfc3339(job.finished_ms),
        "processingTime": max(0, (job.finished_ms or 0) - (job.started_ms or 0)) if ran else None,
        "links": {"self": path, "events": f"{path}/events", "cancel": f"{path}/cancel", "result": f"{path}/result"},
    }


def snapshot_notice(job: Snapshot, shown: dict[str, Any], *, seq: int, now_ms: int) -> Notice:
    """The whole job as an event, under the type of its state; `seq` is that state's, or of the last event lost."""
    kind = f"job.{job.state}"
    envelope = events.envelope(type=kind, job_id=job.id, seq=seq, at_ms=now_ms, data=to_json(shown | {"seq": seq}))
    return Notice(job.user_id, job.id, seq, kind, envelope)
