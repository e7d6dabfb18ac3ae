"""Adding versions that may speak of what jobs have made."""

from dataclasses import replace

from sqlalchemy.orm import Session

from atelier.jobs import results
from atelier.workshop import references, versions
from atelier.workshop.versions import NewVersion, Version


def add(
    session: Session, new: NewVersion, *, project_id: str, user_id: str, versions_max: int, now_ms: int
) -> tuple[int, Version]:
    """As `versions.add`; the results of which the version speaks are kept with it, unless they are gone already.

    Raises Invalid when it speaks of too many.
    """
    held = results.hold(session, job_ids=references.named(new.content))
    return versions.add(
        session,
        replace(new, results=held),
        project_id=project_id,
        user_id=user_id,
        versions_max=versions_max,
        now_ms=now_ms,
    )
