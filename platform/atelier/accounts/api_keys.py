"""The verbs of API keys.

active ──expiresAt passes──► expired
   └────────revoke─────────► revoked          neither comes back; both are deleted after `KEPT_DAYS`
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from sqlalchemy import ColumnElement, func, insert, or_, select, update
from sqlalchemy.orm import Session

from atelier.accounts import sessions
from atelier.accounts.errors import KeyEnded, KeyLimitTooLow, KeyNotFound, TooManyKeys
from atelier.accounts.key_models import KEYS
from atelier.accounts.key_tokens import KeyToken
from atelier.accounts.models import User
from atelier.accounts.scopes import Scope
from atelier.accounts.sessions import Origin
from atelier.contracts import idempotency, oplog
from atelier.contracts.idempotency import Keyed, Stored
from atelier.kernel.clock import MINUTE_MS, db_now_ms
from atelier.kernel.database import matched

K = KEYS.c
Status = Literal["active", "expired", "revoked"]
KEPT_DAYS = 90
ENDED_FACTOR = 10
"""So many times as many keys as may be active are kept at all, those that ended included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key that is made now. `expires_ms` None: it has no end but being revoked."""

    id: str
    user_id: str
    name: str
    token: KeyToken
    scopes: Sequence[Scope]
    credit_limit: int | None
    requests_per_minute: int | None
    submissions_per_minute: int | None
    expires_ms: int | None

    def shown(self, now_ms: int) -> "ApiKey":
        """The key as its owner sees it, made now."""
        return ApiKey(
            id=self.id,
            name=self.name,
            prefix=self.token.prefix,
            last_four=self.token.last_four,
            scopes=self.scopes,
            credit_limit=self.credit_limit,
            credits_held=0,
            credits_used=0,
            requests_per_minute=self.requests_per_minute,
            submissions_per_minute=self.submissions_per_minute,
            expires_ms=self.expires_ms,
            revoked_ms=None,
            last_used_ms=None,
            created_ms=now_ms,
        )


class Changes(TypedDict, total=False):
    """What of a key may be changed; what is left out stays."""

    name: str
    scopes: Sequence[Scope]
    credit_limit: int | None
    requests_per_minute: int | None
    submissions_per_minute: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as its owner sees it."""

    id: str
    name: str
    prefix: str
    last_four: str
    scopes: Sequence[Scope]
    credit_limit: int | None
    credits_held: int
    credits_used: int
    requests_per_minute: int | None
    submissions_per_minute: int | None
    expires_ms: int | None
    revoked_ms: int | None
    last_used_ms: int | None
    created_ms: int

    def status(self, now_ms: int) -> Status:
        """active, expired or revoked."""
        if self.revoked_ms is not None:
            return "revoked"
        return "expired" if self.expires_ms is not None and self.expires_ms <= now_ms else "active"


_SHOWN = tuple(K[name] for name in ApiKey.__slots__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """Whom a key that counts now stands for, and what it may do."""

    key_id: str
    user_id: str
    role: str
    version: int
    email: str
    email_verified: bool
    scopes: frozenset[str]
    requests_per_minute: int | None
    submissions_per_minute: int | None
    expires_ms: int | None


def create(
    session: Session, new: NewKey, *, keys_max: int, keyed: Keyed | None, answer: Any, origin: Origin, now_ms: int
) -> Stored | None:
    """Keep the key, unless the same request has made one before: then that answer. `answer` must not hold the key.

    Raises TooManyKeys and IdempotencyKeyReused.
    """
    if session.connection().execute(select(K.id).where(K.id == new.id)).first():
        return None  # Made by this very request, in a transaction whose commit was in doubt.
    if stored := idempotency.find(session, keyed):
        return stored
    _check_number(session, new.user_id, keys_max=keys_max)
    session.connection().execute(
        insert(KEYS).values(
            id=new.id,
            user_id=new.user_id,
            name=new.name,
            digest=new.token.digest,
            prefix=new.token.prefix,
            last_four=new.token.last_four,
            scopes=list(new.scopes),
            credit_limit=new.credit_limit,
            requests_per_minute=new.requests_per_minute,
            submissions_per_minute=new.submissions_per_minute,
            expires_ms=new.expires_ms,
            created_ms=now_ms,
            updated_ms=now_ms,
        )
    )
    details = {"scopes": list(new.scopes), "creditLimit": new.credit_limit}
    _record(session, "KEY_CREATE", key_id=new.id, user_id=new.user_id, details=details, origin=origin, now_ms=now_ms)
    idempotency.store(session, keyed, status=201, answer=answer, now_ms=now_ms)
    return None


def change(
    session: Session,
    *,
    key_id: str,
    user_id: str,
    changes: Changes,
    revocation_id: str,
    origin: Origin,
    now_ms: int,
) -> ApiKey:
    """Change a key that is active, and have every process look at it again.

    Raises KeyNotFound, KeyEnded and KeyLimitTooLow.
    """
    limit = changes.get("credit_limit")
    spent = K.credits_held + K.credits_used
    enough = () if limit is None else (spent <= limit,)
    values: Mapping[str, Any] = {**changes, "updated_ms": now_ms}
    changed = matched(session, update(KEYS).where(*_mine(key_id, user_id), is_active(), *enough).values(values))
    key = one(session, key_id=key_id, user_id=user_id)
    if not changed:
        if limit is not None and limit < key.credits_held + key.credits_used:
            raise KeyLimitTooLow(credits_held=key.credits_held, credits_used=key.credits_used)
        raise KeyEnded
    _noticed(session, key_id, revocation_id=revocation_id, now_ms=now_ms)
    details = {name: value for name, value in changes.items() if name != "name"}
    _record(session, "KEY_UPDATE", key_id=key_id, user_id=user_id, details=details, origin=origin, now_ms=now_ms)
    return key


def revoke(session: Session, *, key_id: str, user_id: str, revocation_id: str, origin: Origin, now_ms: int) -> None:
    """End a key, for good and everywhere; again changes nothing. Its jobs go on. Raises KeyNotFound."""
    ended = update(KEYS).where(*_mine(key_id, user_id), K.revoked_ms.is_(None))
    if not matched(session, ended.values(revoked_ms=now_ms, updated_ms=now_ms)):
        one(session, key_id=key_id, user_id=user_id)
        return
    _noticed(session, key_id, revocation_id=revocation_id, now_ms=now_ms)
    _record(session, "KEY_REVOKE", key_id=key_id, user_id=user_id, details={}, origin=origin, now_ms=now_ms)


def one(session: Session, *, key_id: str, user_id: str) -> ApiKey:
    """One of the user's keys. Raises KeyNotFound."""
    row = session.connection().execute(select(*_SHOWN).where(*_mine(key_id, user_id))).mappings().one_or_none()
    if row is None:
        raise KeyNotFound(key_id)
    return ApiKey(**row)


def page(session: Session, *, user_id: str, offset: int, limit: int) -> tuple[list[ApiKey], int]:
    """The user's keys, newest first, and how many there are."""
    mine = K.user_id == user_id
    rows = session.connection().execute(select(*_SHOWN).where(mine).order_by(K.id.desc()).offset(offset).limit(limit))
    total = session.connection().execute(select(func.count()).select_from(KEYS).where(mine)).scalar_one()
    return [ApiKey(**row) for row in rows.mappings()], total


def bearer(session: Session, *, digest: str | None = None, key_id: str | None = None) -> Bearer | None:
    """Whom the key stands for; None when it was revoked, has expired or is nobody's, or its user is disabled."""
    named = K.digest == digest if digest is not None else K.id == key_id
    row = (
        session.connection()
        .execute(
            select(
                K.id,
                K.user_id,
                K.scopes,
                K.requests_per_minute,
                K.submissions_per_minute,
                K.expires_ms,
                User.role,
                User.token_version,
                User.email,
                User.email_verified_ms,
            )
            .join(User, User.id == K.user_id)
            .where(named, is_active(), User.status == "active")
        )
        .one_or_none()
    )
    if row is None:
        return None
    return Bearer(
        key_id=row.id,
        user_id=row.user_id,
        role=row.role,
        version=row.token_version,
        email=row.email,
        email_verified=row.email_verified_ms is not None,
        scopes=frozenset(row.scopes),
        requests_per_minute=row.requests_per_minute,
        submissions_per_minute=row.submissions_per_minute,
        expires_ms=row.expires_ms,
    )


def note_used(session: Session, *, key_ids: Iterable[str], now_ms: int) -> None:
    """Remember that these keys were used; a key of which that is known of the last minute is left alone."""
    unknown = or_(K.last_used_ms.is_(None), K.last_used_ms <= now_ms - MINUTE_MS)
    session.connection().execute(update(KEYS).where(K.id.in_(sorted(key_ids)), unknown).values(last_used_ms=now_ms))


def is_active() -> ColumnElement[bool]:
    """Whether a key counts now, by the database's clock."""
    return K.revoked_ms.is_(None) & or_(K.expires_ms.is_(None), K.expires_ms > db_now_ms())


def _mine(key_id: str, user_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return K.id == key_id, K.user_id == user_id


def _check_number(session: Session, user_id: str, *, keys_max: int) -> None:
    # Two that are created at once must count each other, so the user's row is locked while they are counted.
    session.connection().execute(select(User.id).where(User.id == user_id).with_for_update())
    mine = select(func.count()).select_from(KEYS).where(K.user_id == user_id)
    active = session.connection().execute(mine.where(is_active())).scalar_one()
    if active >= keys_max or session.connection().execute(mine).scalar_one() >= keys_max * ENDED_FACTOR:
        raise TooManyKeys(limit=keys_max)


def _noticed(session: Session, key_id: str, *, revocation_id: str, now_ms: int) -> None:
    """Tell every web process to forget what it knows of this key. The key's row is the truth."""
    sessions.revoke_token(session, token_id=key_id, expires_ms=now_ms, revocation_id=revocation_id)


def _record(
    session: Session,
    action: str,
    *,
    key_id: str,
    user_id: str,
    details: Mapping[str, Any],
    origin: Origin,
    now_ms: int,
) -> None:
    operation = oplog.Operation(
        action=action,
        user_id=user_id,
        resource_type="api_key",
        resource_id=key_id,
        details=details,
        address=origin.address,
        user_agent=origin.user_agent,
    )
    oplog.record(session, operation, now_ms=now_ms)
