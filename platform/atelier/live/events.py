"""What happens to jobs and balances, in the one envelope that polling, streams, sockets and webhooks share.

`seq` is the job's own number and only grows; a consumer drops what is not above the last it has seen. `data` is a part
of the job in the form in which `GET /api/jobs/{id}` shows it; where events were lost, the whole job comes instead,
under the type of its state: with the number of that state, or where text was lost that of the last event lost.

    job.pending    {"errorCode"?, "retryInMs"?}       waiting, for the first time or again
    job.running    {}
    job.progress   {"progress"?: 0…1, "step"}         a provider that works elsewhere may tell no fraction
    job.output     {"delta"}                          a further piece of a text
    job.completed, job.failed, job.canceled           final: nothing follows
    credits.changed {"balance", "held", "available"}  no job; seq is the version of the account
    notification.created                              no job; data as in GET /api/notifications, in the user's language

Notifications are each news of their own: their numbers tell them apart and grow with time, but two that were made at
once may arrive in either order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from atelier.kernel import clock

PENDING = "job.pending"
RUNNING = "job.running"
PROGRESS = "job.progress"
OUTPUT = "job.output"
COMPLETED = "job.completed"
FAILED = "job.failed"
CANCELED = "job.canceled"
CREDITS_CHANGED = "credits.changed"
NOTIFICATION_CREATED = "notification.created"

FINAL = frozenset({COMPLETED, FAILED, CANCELED})
"""After one of these, a job has no further event."""

PASSING = frozenset({PROGRESS, OUTPUT})
"""These change no state: they are in no database, and who missed one can do without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event. `job_id` is None when it is about the user and no job."""

    type: str
    job_id: str | None
    seq: int
    at_ms: int
    data: Mapping[str, Any]

    def encode(self) -> bytes:
        """The envelope as one line of JSON."""
        return envelope(type=self.type, job_id=self.job_id, seq=self.seq, at_ms=self.at_ms, data=to_json(self.data))


def envelope(*, type: str, job_id: str | None, seq: int, at_ms: int, data: bytes) -> bytes:  # noqa: A002 - the member's name
    """`{"type","jobId","seq","at","data"}` around data that is JSON already; type and id are words of ours."""
    job = f'"{job_id}"' if job_id else "null"
    return b'{"type":"%b","jobId":%b,"seq":%d,"at":"%b","data":%b}' % (
        type.encode(),
        job.encode(),
        seq,
        str(clock.rfc3339(at_ms)).encode(),
        data,
    )
