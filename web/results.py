"""What a completed job has made, as its owner sees it."""

from typing import Any

from atelier.jobs.errors import ResultExpired
from atelier.jobs.queries import Stored
from atelier.kernel.clock import rfc3339
from atelier.workshop import saves
from atelier.workshop.saves import Save
from web import messages, outputs
from web.routing import Call


async def result(call: Call, job_id: str, job: Stored) -> dict[str, Any]:
    """`{"outputs": […]}`; where a version of a project was asked for, also what became of it as `savedVersion`.

    Raises ResultExpired.
    """
    if job.result_gone_ms is not None:
        raise ResultExpired(job_id)
    keyring = call.services.settings.keyring
    described = outputs.described(job.result, job_id=job_id, keyring=keyring, now_ms=call.now_ms)
    if job.result_expires_ms is not None:
        described["resultExpiresAt"] = rfc3339(job.result_expires_ms)
    save = await call.services.db.read(saves.of_job, job_id=job_id) if job.project_id else None
    return described | {"savedVersion": _told(save, call)} if save else described


def _told(save: Save, call: Call) -> dict[str, Any]:
    """The version's number, or the code and the sentence of why there is none."""
    message = messages.sentence(save.reason, call.locale) if save.reason else None
    return {"projectId": save.project_id, "number": save.number, "reason": save.reason, "message": message}
