"""Subscriptions that end: their users are reminded three days before, and told when it has happened.

The reminder says whether the subscription will be renewed by itself, and for how much, or why not.
Whether a subscription runs is never decided here: everyone who asks compares its end with the time.
"""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from atelier.catalog import purchases, renewals
from atelier.catalog.purchases import Due
from atelier.catalog.renewals import Obstacle
from atelier.kernel import faults, ids, logs
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.marketplace import renewing
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
    obstacles = {one.id: obstacle for one in found if (obstacle := _obstacle(one))}
    for one, notice_id in zip(found, notice_ids, strict=False):
        obstacle = obstacles.get(one.id)
        if obstacle is None or not obstacle & one.told:
            notifications.notify(session, _notice(one, notice_id, obstacle), now_ms=now_ms)
    told = {one.id: obstacles[one.id] | one.told for one in found if one.id in obstacles}
    renewals.note_told(session, told)
    faults.point("subscriptions.before_commit")
    return len(found)


def _obstacle(one: Due) -> Obstacle | None:
    """What will keep it from being renewed, as far as that can be known days before: credits may come yet."""
    if one.over or one.renew_price is None:
        return None
    return renewals.obstacle(renew_price=one.renew_price, price=one.agent.subscription_price)


def _notice(one: Due, notice_id: str, obstacle: Obstacle | None) -> Notice:
    data: dict[str, object] = {"agentName": one.agent.name}
    if one.over:
        kind = "subscription_expired"
    elif one.renew_price is None:
        kind, data = "subscription_expiring", data | {"expiresAt": one.expires_ms}
    else:
        kind = renewing.KINDS[obstacle] if obstacle else "subscription_renewing"
        data = renewing.hindrance(one.agent, expires_ms=one.expires_ms, renew_price=one.renew_price)
    return Notice(id=notice_id, user_id=one.user_id, kind=kind, data=data, ref_type="agent", ref_id=one.agent.id)
