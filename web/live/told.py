"""Which notifications a feed has let through, and finding those that nobody told it of.

Each is news of its own, and two that were made at once may arrive in either order, so a feed remembers the numbers of
the last ones instead of the highest.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.accounts import preferences
from atelier.accounts.models import User
from atelier.correspondence import views
from atelier.kernel import clock
from atelier.live import wire
from atelier.live.wire import Notice
from atelier.notifications import queries

REMEMBERED_MAX = 256
LATE_MS = clock.MINUTE_MS
"""A number is given before its transaction commits: what is so much older than a look is found by that look."""


class Told:
    """What one feed was told of, above a floor."""

    __slots__ = ("floor", "seen")

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self.seen: set[int] = set()

    def is_news(self, seq: int) -> bool:
        """Whether this number comes for the first time; from now on it is known."""
        if seq <= self.floor or seq in self.seen:
            return False
        self.seen.add(seq)
        if len(self.seen) > REMEMBERED_MAX:
            self.rise(min(self.seen))
        return True

    def rise(self, floor: int) -> None:
        """Nothing up to this number is news any longer."""
        if floor > self.floor:
            self.floor = floor
            self.seen = {seq for seq in self.seen if seq > floor}


class Missed(NamedTuple):
    """What was found; numbers up to `floor` need not be looked for again."""

    floor: int
    notices: Sequence[Notice]


def newest(session: Session, *, user_id: str) -> Told:
    """The beginning of a feed: everything that the user was told of before is old."""
    return Told(queries.newest(session, user_id=user_id))


def missed(session: Session, *, floors: Mapping[str, int]) -> Missed:
    """What these users were told of above the lowest of their floors, as events in their languages."""
    now_ms, items = queries.told_since(session, user_ids=list(floors), since=min(floors.values()))
    locales = _locales(session, {item.user_id for item in items})
    notices = [
        wire.noticed(item.user_id, views.event(item, locale=locales[item.user_id]))
        for item in items
        if item.user_id in locales
    ]
    # A look that found as many as it takes has not seen the rest: the next one goes on from its last.
    floor = (items[-1].seq or 0) if len(items) >= queries.TOLD_MAX else now_ms - LATE_MS
    return Missed(floor, notices)


def _locales(session: Session, user_ids: Collection[str]) -> dict[str, preferences.Locale]:
    if not user_ids:
        return {}
    rows = session.execute(select(User.id, User.settings).where(User.id.in_(user_ids)))
    return {row.id: preferences.of(row.settings).locale for row in rows}
