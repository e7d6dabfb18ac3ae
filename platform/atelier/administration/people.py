"""Users as administrators see and change them. Every change is logged in the transaction that makes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.orm import Session

from atelier.accounts import queries, sessions
from atelier.accounts.errors import UserNotFound
from atelier.accounts.models import User
from atelier.accounts.sessions import Origin
from atelier.administration.errors import OwnAccount
from atelier.contracts import idempotency, oplog
from atelier.contracts.idempotency import Keyed
from atelier.kernel.database import matched
from atelier.ledger import debts
from atelier.ledger import queries as balances
from atelier.ledger import service as ledger
from atelier.ledger.posting import Posted
from atelier.ledger.queries import Balance
from atelier.ledger.service import Entry
from atelier.notifications import service as notifications
from atelier.notifications.service import Notice

COUNTED_MAX = 10_000
Role = Literal["user", "creator", "admin"]
Status = Literal["active", "disabled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """`search` is the beginning of an e-mail address or username, or a whole id."""

    search: str | None = None
    role: str | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user with what they have."""

    id: str
    email: str
    email_verified: bool
    username: str
    display_name: str
    avatar_url: str | None
    role: Role
    status: Status
    balance: Balance
    debt: int
    created_ms: int
    last_login_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Who changes whom, why, from where. The ids are made by the caller, so that running twice is one act."""

    admin_id: str
    user_id: str
    reason: str
    origin: Origin
    act_id: str = field(repr=False)
    notice_id: str = field(repr=False)


_COLUMNS = (
    User.id,
    User.email,
    User.email_verified_ms,
    User.username,
    User.display_name,
    User.avatar_url,
    User.role,
    User.status,
    User.created_ms,
    User.last_login_ms,
)


def page(session: Session, *, wanted: Filter, offset: int, limit: int) -> tuple[list[Person], int]:
    """A page of users, newest first, and how many there are (counted up to COUNTED_MAX)."""
    conditions = _conditions(wanted)
    rows = session.execute(
        select(*_COLUMNS).where(*conditions).order_by(User.created_ms.desc(), User.id).offset(offset).limit(limit)
    ).mappings()
    found = [dict(row) for row in rows]
    counted = select(User.id).where(*conditions).limit(COUNTED_MAX).subquery()
    total = session.execute(select(func.count()).select_from(counted)).scalar_one()
    user_ids = [one["id"] for one in found]
    accounts = balances.balances(session, user_ids=user_ids)
    owed = debts.owed_by(session, user_ids=user_ids)
    return [_person(one, accounts[one["id"]], owed[one["id"]]) for one in found], total


def one(session: Session, *, user_id: str) -> Person:
    """Raises UserNotFound."""
    row = session.execute(select(*_COLUMNS).where(User.id == user_id)).mappings().one_or_none()
    if row is None:
        raise UserNotFound
    return _person(dict(row), balances.balance(session, user_id=user_id), debts.owed(session, user_id=user_id))


def change_role(session: Session, *, act: Act, role: str, now_ms: int) -> Person:
    """Make someone a user, creator or administrator; takes effect with their next request.

    Raises UserNotFound and OwnAccount.
    """
    _not_oneself(act)
    before = _identity(session, act.user_id)
    if before.role != role:
        changed = update(User).where(User.id == act.user_id).values(role=role, updated_ms=now_ms)
        if not matched(session, changed):
            raise UserNotFound
        sessions.hint_revoked(session, user_id=act.user_id, revocation_id=act.act_id, now_ms=now_ms)
        _log(session, act, "ADMIN_USER_ROLE", {"from": before.role, "to": role}, now_ms=now_ms)
        _tell(session, act, "role_changed", {"role": role}, now_ms=now_ms)
    return one(session, user_id=act.user_id)


def set_active(session: Session, *, act: Act, active: bool, now_ms: int) -> Person:
    """Disable someone, which ends all their tokens at once, or let them in again.

    Raises UserNotFound and OwnAccount.
    """
    _not_oneself(act)
    status = "active" if active else "disabled"
    if _identity(session, act.user_id).status != status:
        sessions.set_status(session, user_id=act.user_id, active=active, revocation_id=act.act_id, now_ms=now_ms)
        _log(session, act, "ADMIN_USER_ENABLE" if active else "ADMIN_USER_DISABLE", {}, now_ms=now_ms)
    return one(session, user_id=act.user_id)


def adjust_credits(
    session: Session, *, act: Act, amount: int, keyed: Keyed | None, now_ms: int
) -> tuple[dict[str, Any], Posted | None]:
    """Give or take credits. The answer as JSON, and the account unless the request was answered before.

    Raises UserNotFound, InsufficientCredits when less than that is available, IdempotencyKeyReused.
    """
    if stored := idempotency.find(session, keyed):
        return stored.answer, None
    _identity(session, act.user_id)
    entry = Entry(
        transfer_id=act.act_id,
        key=f"adjust:{act.act_id}",
        user_id=act.user_id,
        amount=amount,
        ref_type="adjustment",
        ref_id=act.act_id,
        note=act.reason,
        actor=act.admin_id,
    )
    posted = ledger.adjust(session, entry, now_ms=now_ms)
    _log(session, act, "ADMIN_CREDITS_ADJUST", {"amount": amount, "transferId": act.act_id}, now_ms=now_ms)
    _tell(session, act, "credits_adjusted", {"amount": amount, "reason": act.reason}, now_ms=now_ms)
    answer = {"success": True, "transactionId": f"txn-{act.act_id}", "balance": posted.available}
    idempotency.store(session, keyed, status=200, answer=answer, now_ms=now_ms)
    return answer, posted


def _not_oneself(act: Act) -> None:
    # Whoever can lock everyone out must not be able to lock out the last one who can undo it.
    if act.admin_id == act.user_id:
        raise OwnAccount


def _identity(session: Session, user_id: str) -> queries.IdentityRow:
    found = queries.identity(session, user_id=user_id)
    if found is None:
        raise UserNotFound
    return found


def _log(session: Session, act: Act, action: str, details: Mapping[str, Any], *, now_ms: int) -> None:
    operation = oplog.Operation(
        action=action,
        user_id=act.admin_id,
        resource_type="user",
        resource_id=act.user_id,
        details={**details, "reason": act.reason},
        address=act.origin.address,
        user_agent=act.origin.user_agent,
    )
    oplog.record(session, operation, now_ms=now_ms)


def _tell(session: Session, act: Act, kind: str, data: Mapping[str, Any], *, now_ms: int) -> None:
    notice = Notice(id=act.notice_id, user_id=act.user_id, kind=kind, data=data, ref_type="user", ref_id=act.user_id)
    notifications.notify(session, notice, now_ms=now_ms)


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.search:
        key = wanted.search.casefold()
        email = User.email_key.startswith(key, autoescape=True)
        # Usernames and ids are ASCII columns, and MariaDB compares them with no other text.
        names = (User.username_key.startswith(key, autoescape=True), User.id == key) if key.isascii() else ()
        conditions.append(or_(email, *names))
    if wanted.role:
        conditions.append(User.role == wanted.role)
    if wanted.status:
        conditions.append(User.status == wanted.status)
    return conditions


def _person(row: Mapping[str, Any], balance: Balance, debt: int) -> Person:
    values = {name: value for name, value in row.items() if name != "email_verified_ms"}
    return Person(**values, email_verified=row["email_verified_ms"] is not None, balance=balance, debt=debt)
