"""What is said on a socket besides events: reading what the client says, and the answers, in the envelope of events."""

from collections.abc import Mapping
from typing import Any

from aiohttp import WSMessage, WSMsgType
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from atelier.jobs.queries import Snapshot
from atelier.kernel import clock, ids
from atelier.kernel.errors import AtelierError, Invalid
from atelier.live import events
from web import messages
from web.messages import Locale
from web.schemas.events import TOLD, AuthMessage, PingMessage, SubscribeMessage, UnsubscribeMessage


def parsed(message: WSMessage) -> AuthMessage | SubscribeMessage | UnsubscribeMessage | PingMessage:
    """What the client says. Raises Invalid."""
    if message.type is not WSMsgType.TEXT:
        raise Invalid([_field([], "json_invalid")])
    try:
        return TOLD.validate_json(message.data)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        raise Invalid([_field(item["loc"], item["type"]) for item in found]) from error


def needs_job() -> Invalid:
    """Neither a job nor everything was named."""
    return Invalid([_field(["jobId"], "missing")])


def answer(kind: str, *, job_id: str | None = None, seq: int = 0, data: Mapping[str, Any] | None = None) -> bytes:
    """An answer."""
    return events.envelope(type=kind, job_id=job_id, seq=seq, at_ms=clock.now_ms(), data=to_json(data or {}))


def subscribed(job: Snapshot) -> bytes:
    """The job is followed from here on."""
    return answer("subscribed", job_id=job.id, seq=job.seq, data={"status": job.state})


def refused(error: AtelierError, message: WSMessage, locale: Locale) -> bytes:
    """What the client said was refused."""
    data: dict[str, Any] = {"code": error.code, "message": messages.sentence(error.code, locale)}
    if isinstance(error, Invalid):
        data["details"] = error.fields
    return answer("error", job_id=_job_of(message), data=data)


def _field(path: Any, code: str) -> dict[str, Any]:
    return {"path": list(path), "code": code}


def _job_of(message: WSMessage) -> str | None:
    """The job that a message names, so that its answer names it too."""
    try:
        said = from_json(message.data)
        job_id = said["jobId"].lower()
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return job_id if ids.is_id(job_id) else None
