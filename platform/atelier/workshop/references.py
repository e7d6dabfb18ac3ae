"""What versions say of the results of jobs: those results are kept for as long as such a version is.

A version speaks of a job as our answers do: by a member `"jobId": "<id>"` or `"usageId": "<id>"`, or by a link to the
job or to anything of it. This may be anywhere in its content, also in a text that is JSON itself.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from atelier.kernel.errors import Invalid
from atelier.workshop.models import VERSION_RESULTS, VERSIONS

RESULTS_MAX: Final = 100
R = VERSION_RESULTS.c
_ID: Final = b"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
# In JSON within JSON quotes and slashes have backslashes.
_MEMBER: Final = rb'"(?:jobId|usageId)\\*"\s*:\s*\\*"' + _ID + rb'\\*"'
_LINK: Final = rb"/api\\*/jobs\\*/" + _ID
_NAMED: Final = re.compile(_MEMBER + b"|" + _LINK, re.IGNORECASE)


def named(content: Mapping[str, Any]) -> list[str]:
    """The ids of the jobs that a content speaks of, in order. Raises Invalid when they are too many to be kept."""
    found = {(one[1] or one[2]).decode().lower() for one in _NAMED.finditer(to_json(content))}
    if len(found) > RESULTS_MAX:
        entry = {"path": ["content"], "message": "Too many jobs.", "code": "too_many_results"}
        raise Invalid([{**entry, "context": {"max": RESULTS_MAX}}])
    return sorted(found)


def note(session: Session, *, project_id: str, number: int, job_ids: Sequence[str]) -> None:
    """Note of which jobs a version speaks that is added now."""
    if job_ids:
        rows = [{"project_id": project_id, "number": number, "job_id": job_id} for job_id in job_ids]
        session.connection().execute(insert(VERSION_RESULTS), rows)


def forget(session: Session, *, project_id: str, numbers: Sequence[int]) -> None:
    """Forget of which jobs these versions spoke, which are deleted now."""
    session.connection().execute(delete(VERSION_RESULTS).where(R.project_id == project_id, R.number.in_(numbers)))


def referred(session: Session, *, job_ids: Sequence[str]) -> set[str]:
    """Those of the jobs of which any version speaks, or that made one."""
    spoken = session.connection().scalars(select(R.job_id).where(R.job_id.in_(job_ids)))
    made = session.connection().scalars(select(VERSIONS.c.job_id).where(VERSIONS.c.job_id.in_(job_ids)))
    return {*spoken, *(one for one in made if one is not None)}
