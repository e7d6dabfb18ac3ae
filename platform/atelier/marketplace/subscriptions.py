"""Subscriptions that end: their users are reminded three days before, and told when it has happened.

Whether a subscription runs is never decided here: everyone who asks compares its end with the time.
"""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from atelier.catalog import purchases
from atelier.catalog.purchases import Due
from atelier.kernel import faults, ids, logs
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.notifications import service as notifications
from atelier.notifications.service import Notice

GROUP = 100
GROUPS_MAX = 100
log = logs.get(__name__)


def expire(database: Database) -> int:
    """Deal with every subscription that is due, up to a bound; how many."""
    total = 0
    for _ in range(GROUPS_MAX):
        notice_ids = [ids.new_id() for _ in range(GROUP)]
        found = database.transact(expire_some, notice_ids=notice_ids, now_ms=now_ms())
        total += found
        if found < GROUP:
            break
    if total:
        log.info("subscriptions.expired", number=total)
    return total


def expire_some(session: Session, *, notice_ids: Sequence[str], now_ms: int) -> int:
    """Deal with as many as there are ids for what their users are told; how many there were."""
    found = purchases.due(session, limit=len(notice_ids))
    purchases.seen(session, found, now_ms=now_ms)
    for one, notice_id in zip(found, notice_ids, strict=False):
        notifications.notify(session, _notice(one, notice_id), now_ms=now_ms)
    faults.point("subscriptions.before_commit")
    return len(found)


def _notice(one: Due, notice_id: str) -> Notice:
    told = {"agentName": one.agent_name}
    return Notice(
        id=notice_id,
        user_id=one.user_id,
        kind="subscription_expired" if one.over else "subscription_expiring",
        data=told if one.over else told | {"expiresAt": one.expires_ms},
        ref_type="agent",
        ref_id=one.agent_id,
    )
