"""Deleting for good what was in the bin for thirty days, part by part: stopped at any moment, the next run goes on."""

from atelier.kernel import logs
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.workshop import members, projects

ROUNDS_MAX = 2_000
log = logs.get(__name__)


def purge(database: Database) -> int:
    """Delete projects with all that is theirs, and invitations that nobody can accept any longer; how many parts."""
    parts = 0
    while parts < ROUNDS_MAX and database.transact(projects.purge_some, now_ms=now_ms()):
        parts += 1
    while database.transact(members.forget_expired, now_ms=now_ms()) == members.EXPIRED_DELETED_MAX:
        parts += 1
    if parts:
        log.info("workshop.purged", parts=parts)
    return parts
