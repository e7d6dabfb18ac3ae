"""Deleting what has outlived its use, a few rows at a time, so that no table grows for ever and no lock lasts."""

from collections.abc import Sequence
from typing import cast

from sqlalchemy import Column, Table, delete, select
from sqlalchemy.orm import Session

from atelier.accounts import api_keys
from atelier.accounts.key_models import KEYS
from atelier.accounts.models import EmailToken, LoginFailure, RevocationRow
from atelier.catalog import views
from atelier.catalog.authoring_models import VIEWS
from atelier.contracts import client_log, dead_messages, idempotency, oplog
from atelier.generation.models import PROBES, VERDICTS
from atelier.jobs import batches, dead_letters, lanes
from atelier.jobs.models import BATCHES, DEAD_LETTERS
from atelier.kernel import logs
from atelier.kernel.clock import DAY_MS, HOUR_MS, now_ms
from atelier.kernel.database import Base, Database
from atelier.mail.models import Email
from atelier.notifications import service as notifications
from atelier.notifications.models import Notification
from atelier.orders import statements
from atelier.orders.payment_models import EVENTS, FINDINGS
from atelier.webhooks.models import ATTEMPTS as WEBHOOK_ATTEMPTS
from atelier.webhooks.models import ENDPOINTS as WEBHOOKS
from atelier.webhooks.models import EVENTS as WEBHOOK_EVENTS
from atelier.webhooks.models import JOB_WEBHOOKS

# Gateways repeat what they tell for a day. Told after that again, it is settled again, and changes nothing.
EVENTS_KEPT_MS = 90 * DAY_MS
WEBHOOKS_KEPT_MS = 30 * DAY_MS
LANES_KEPT_MS = 30 * DAY_MS
ROWS_MAX = 500
ROUNDS_MAX = 200
log = logs.get(__name__)


def _table(model: type[Base]) -> Table:
    return cast("Table", model.__table__)


# Table, the column that tells its age, and how long after that moment it is kept.
KEPT: Sequence[tuple[Table, str, int]] = (
    (idempotency.TABLE, "created_ms", idempotency.KEPT_HOURS * HOUR_MS),
    (VIEWS, "created_ms", views.KEPT_MS),
    (VERDICTS, "checked_ms", 30 * DAY_MS),
    (PROBES, "created_ms", 30 * DAY_MS),
    (EVENTS, "settled_ms", EVENTS_KEPT_MS),
    (BATCHES, "created_ms", batches.KEPT_MS),
    (DEAD_LETTERS, "failed_ms", dead_letters.KEPT_MS),
    (dead_messages.TABLE, "last_ms", dead_messages.KEPT_MS),
    (client_log.TABLE, "created_ms", client_log.KEPT_DAYS * DAY_MS),
    (_table(RevocationRow), "expires_ms", DAY_MS),
    (_table(Email), "created_ms", 30 * DAY_MS),
    (_table(EmailToken), "expires_ms", 7 * DAY_MS),
    (_table(LoginFailure), "at_ms", DAY_MS),
    (_table(Notification), "read_ms", notifications.READ_KEPT_DAYS * DAY_MS),
    (_table(Notification), "created_ms", notifications.KEPT_DAYS * DAY_MS),
    (KEYS, "revoked_ms", api_keys.KEPT_DAYS * DAY_MS),
    (KEYS, "expires_ms", api_keys.KEPT_DAYS * DAY_MS),
    (WEBHOOK_EVENTS, "ended_ms", WEBHOOKS_KEPT_MS),
    # Longer than the events that they prove.
    (WEBHOOK_ATTEMPTS, "started_ms", WEBHOOKS_KEPT_MS + 5 * DAY_MS),
    (JOB_WEBHOOKS, "created_ms", 2 * WEBHOOKS_KEPT_MS),
    (WEBHOOKS, "deleted_ms", 2 * WEBHOOKS_KEPT_MS),
    (FINDINGS, "created_ms", statements.FINDINGS_KEPT_DAYS * DAY_MS),
)


def prune(database: Database, *, operations_kept_days: int) -> dict[str, int]:
    """Delete everything past its time; how many rows of each table."""
    deleted: dict[str, int] = {}
    for table, column, kept_ms in (*KEPT, (oplog.TABLE, "created_ms", operations_kept_days * DAY_MS)):
        for _ in range(ROUNDS_MAX):
            count = database.transact(_delete_some, table, table.c[column], before_ms=now_ms() - kept_ms)
            deleted[table.name] = deleted.get(table.name, 0) + count
            if count < ROWS_MAX:
                break
    deleted["lanes"] = _prune_lanes(database)
    log.info("retention.pruned", **deleted)
    return deleted


def _prune_lanes(database: Database) -> int:
    deleted = 0
    for _ in range(ROUNDS_MAX):
        count = database.transact(lanes.prune, before_ms=now_ms() - LANES_KEPT_MS, limit=ROWS_MAX)
        deleted += count
        if count < ROWS_MAX:
            break
    return deleted


def _delete_some(session: Session, table: Table, age: Column[int], *, before_ms: int) -> int:
    (key,) = table.primary_key.columns
    old = session.connection().execute(select(key).where(age < before_ms).limit(ROWS_MAX)).scalars().all()
    if old:
        session.connection().execute(delete(table).where(key.in_(old)))
    return len(old)
