"""Secrets at rest: one per endpoint, and one per user for the webhooks of single jobs."""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Update, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.kernel.clock import DAY_MS, rfc3339
from atelier.kernel.database import Again, is_duplicate, matched
from atelier.webhooks.errors import SecretsOverlap
from atelier.webhooks.models import SECRETS
from atelier.webhooks.signing import Sealed

S = SECRETS.c
OVERLAP_MS = DAY_MS
"""How long the old secret signs beside a new one."""
ROWS_MAX = 200

Drop = Literal["previous", "current", "all"]
"""Which of the secrets before a new one sign no more from that moment on, whatever was promised."""
Beside = tuple[Sealed, int]
"""A secret that signs beside the current one, and until when."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept of one owner; `previous` signs until `previous_until_ms`."""

    owner_id: str
    user_id: str
    current: Sealed
    previous: Sealed | None
    previous_until_ms: int | None

    def beside(self, *, now_ms: int) -> Beside | None:
        """What signs beside the current one now."""
        if self.previous is None or self.previous_until_ms is None or self.previous_until_ms <= now_ms:
            return None
        return self.previous, self.previous_until_ms

    def good(self, *, now_ms: int) -> list[Sealed]:
        """Those that sign now, the current one first."""
        beside = self.beside(now_ms=now_ms)
        return [self.current, beside[0]] if beside else [self.current]


def keep(session: Session, *, owner_id: str, user_id: str, sealed: Sealed, now_ms: int) -> None:
    """Keep an owner's first secret."""
    row = {"owner_id": owner_id, "user_id": user_id, "kid": sealed.kid, "sealed": sealed.text, "changed_ms": now_ms}
    try:
        session.connection().execute(insert(SECRETS).values(row))
    except IntegrityError as error:
        if is_duplicate(error):
            raise Again from error
        raise


def find(session: Session, *, owner_id: str) -> Kept | None:
    """What is kept of this owner."""
    row = session.connection().execute(select(SECRETS).where(S.owner_id == owner_id)).one_or_none()
    return _kept(row) if row else None


def rotate(
    session: Session, *, owner_id: str, user_id: str, fresh: Sealed, now_ms: int, drop: Drop | None = None
) -> int | None:
    """Have `fresh` sign from now on; until when another one signs beside it, None when none does.

    That is the one before it, for a day, unless it is to `drop`. Raises SecretsOverlap while an older one still signs
    and nobody has said what becomes of it: there is room for one beside the new one, and each was promised its day.
    """
    seen = find(session, owner_id=owner_id)
    if seen is None:
        keep(session, owner_id=owner_id, user_id=user_id, sealed=fresh, now_ms=now_ms)
        return None
    beside = _beside(seen, drop=drop, now_ms=now_ms)
    sealed, until_ms = beside or (None, None)
    old = {
        "previous_kid": sealed.kid if sealed else None,
        "previous": sealed.text if sealed else None,
        "previous_until_ms": until_ms,
    }
    if not matched(session, _still(seen).values(kid=fresh.kid, sealed=fresh.text, changed_ms=now_ms, **old)):
        raise Again
    return until_ms


def _beside(seen: Kept, *, drop: Drop | None, now_ms: int) -> Beside | None:
    """What signs beside a new secret."""
    older = seen.beside(now_ms=now_ms)
    if drop is None and older is not None:
        raise SecretsOverlap(previous_valid_until=rfc3339(older[1]))
    if drop == "all":
        return None
    return older if drop == "current" else (seen.current, now_ms + OVERLAP_MS)


def forget(session: Session, *, owner_id: str) -> None:
    """Delete an owner's secrets."""
    session.connection().execute(delete(SECRETS).where(S.owner_id == owner_id))


def sealed_with_others(session: Session, *, kid: str) -> list[Kept]:
    """Some of those that another key than this has sealed."""
    others = select(SECRETS).where(or_(S.kid != kid, S.previous_kid != kid)).limit(ROWS_MAX)
    return [_kept(row) for row in session.connection().execute(others)]


def replace(session: Session, seen: Kept, *, current: Sealed, previous: Sealed | None) -> bool:
    """Put the same secrets, sealed anew, in the place of what was seen; False when they have changed meanwhile."""
    old = {"previous_kid": previous.kid, "previous": previous.text} if previous else {}
    return matched(session, _still(seen).values(kid=current.kid, sealed=current.text, **old)) == 1


def _still(seen: Kept) -> Update:
    return update(SECRETS).where(S.owner_id == seen.owner_id, S.kid == seen.current.kid, S.sealed == seen.current.text)


def _kept(row: Any) -> Kept:
    return Kept(
        owner_id=row.owner_id,
        user_id=row.user_id,
        current=Sealed(row.kid, row.sealed),
        previous=Sealed(row.previous_kid, row.previous) if row.previous else None,
        previous_until_ms=row.previous_until_ms,
    )
