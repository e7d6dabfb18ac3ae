"""What the ledger promises about its own rows.

account.available    nothing is negative: neither a counter nor what may be spent
account.posted       the posted counters are the sums of the account's transfers
account.pending      what is held is the sum of the account's open holds
account.version      the account's transfers are numbered 1 … version
account.last         the account's balance is the one after its newest transfer
account.bonus        a user is welcomed once
statement.gap        each transfer but the first has a predecessor
statement.balance    each balance follows from the one before
clearing.balance     what lies in clearing is what creators are owed: captured + purchased − shared = owed
transfer.account     a transfer moves credits between a user's account and a system account, and both exist; or it is a
                     share of the platform's, between two system accounts
transfer.sides       … in the direction, and to the counterpart, that its kind has
transfer.resolution  a capture or release ends a hold of the same account and thing, and takes what the hold allows
hold.resolved_once   … and no other transfer ends the same hold
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, case, func, not_, or_, select
from sqlalchemy.orm import Session

from atelier.kernel.invariants import Family, Findings, Invariant, spans, unless, within
from atelier.ledger import share_checks
from atelier.ledger.models import ACCOUNTS, ADJUST, BONUS, CLEARING, PLATFORM, TOPUP, TRANSFERS

SUMMED_ROWS = 500_000
RESOLVING = ("capture", "release")
UNPOSTED = ("hold", "release")
# The counterpart of each kind, and whether the user's account is the debited side; an adjustment has either direction.
SIDES = {
    "hold": (CLEARING, True),
    "capture": (CLEARING, True),
    "release": (CLEARING, True),
    "consume": (PLATFORM, True),
    "purchase": (CLEARING, True),
    "topup": (TOPUP, False),
    "clawback": (TOPUP, True),
    "restore": (TOPUP, False),
    "bonus": (BONUS, False),
    "adjust": (ADJUST, None),
    "share": (CLEARING, False),
}

_t = TRANSFERS.alias("t")
_hold = TRANSFERS.alias("h")
_previous = TRANSFERS.alias("p")
_account = ACCOUNTS.alias("a")
_counterpart = ACCOUNTS.alias("c")

_posted = _t.c.kind.not_in(UNPOSTED)
_inward = _t.c.credit_id == _t.c.account_id
_counterpart_id = case((_inward, _t.c.debit_id), else_=_t.c.credit_id)
_change = case((and_(_posted, _inward), _t.c.amount), (_posted, -_t.c.amount), else_=0)
_between_systems = _t.c.account_id.is_(None)


def _accounts() -> Family:
    own = _account.c
    available = own.credits_posted - own.debits_posted - own.debits_pending
    negative = or_(available < 0, own.debits_pending < 0, own.credits_posted < 0, own.debits_posted < 0)
    return Family(
        rows=_account,
        subject=own.id,
        facts=(own.credits_posted, own.debits_posted, own.debits_pending),
        invariants=(Invariant("account.available", negative),),
        where=within(own.id),
        walked=ACCOUNTS.c.id,
    )


def _misdirected() -> ColumnElement[bool]:
    # Nothing moves in a transfer of 0, so it has no direction.
    fits = [
        and_(_t.c.kind == kind, _counterpart_id == counterpart, _directed(outward))
        for kind, (counterpart, outward) in SIDES.items()
    ]
    platforms = and_(_between_systems, _t.c.kind == "share", _t.c.debit_id == CLEARING, _t.c.credit_id == PLATFORM)
    return unless(or_(platforms, *fits))


def _directed(outward: bool | None) -> ColumnElement[bool]:  # noqa: FBT001 - private
    if outward is None:
        return _t.c.amount >= 0
    return or_(_t.c.amount == 0, not_(_inward) if outward else _inward)


def _unresolved() -> ColumnElement[bool]:
    allowed = case((_t.c.kind == "capture", _t.c.amount <= _hold.c.amount), else_=_t.c.amount == _hold.c.amount)
    same = and_(
        _hold.c.kind == "hold",
        _hold.c.account_id == _t.c.account_id,
        _hold.c.account_version < _t.c.account_version,
        _t.c.key == _t.c.kind + func.substr(_hold.c.key, 5),
    )
    return and_(_t.c.kind.in_(RESOLVING), unless(and_(same, allowed)))


def _transfers() -> Family:
    mine = or_(_t.c.debit_id == _t.c.account_id, _inward)
    both = and_(or_(_between_systems, and_(mine, _account.c.kind == "user")), _counterpart.c.kind == "system")
    balance = _account.c.credits_posted - _account.c.debits_posted
    return Family(
        rows=_t.outerjoin(_account, _account.c.id == _t.c.account_id)
        .outerjoin(_counterpart, _counterpart.c.id == _counterpart_id)
        .outerjoin(_hold, _hold.c.id == _t.c.pending_id)
        .outerjoin(
            _previous,
            and_(_previous.c.account_id == _t.c.account_id, _previous.c.account_version == _t.c.account_version - 1),
        ),
        subject=_t.c.id,
        facts=(
            _t.c.key,
            _t.c.amount,
            _t.c.account_id,
            _t.c.account_version,
            _t.c.balance_after,
            _previous.c.balance_after.label("balance_before"),
            _account.c.version,
            _hold.c.amount.label("held"),
        ),
        invariants=(
            Invariant("transfer.account", unless(both)),
            Invariant("transfer.sides", _misdirected()),
            Invariant("transfer.resolution", _unresolved()),
            Invariant("statement.gap", and_(_t.c.account_version != 1, _previous.c.id.is_(None))),
            Invariant(
                "statement.balance",
                and_(
                    or_(_t.c.account_version == 1, _previous.c.id.is_not(None)),
                    _t.c.balance_after != func.coalesce(_previous.c.balance_after, 0) + _change,
                ),
            ),
            Invariant(
                "account.last",
                or_(
                    _t.c.account_version > _account.c.version,
                    and_(_t.c.account_version == _account.c.version, _t.c.balance_after != balance),
                ),
            ),
        ),
        where=within(_t.c.id),
        walked=TRANSFERS.c.id,
        by_time=True,
    )


def _resolutions() -> Family:
    twice = (
        select(_t.c.pending_id, func.count().label("resolutions"))
        .where(within(_t.c.pending_id))
        .group_by(_t.c.pending_id)
        .having(func.count() > 1)
        .subquery("twice")
    )
    return Family(
        rows=twice,
        subject=twice.c.pending_id,
        facts=(twice.c.resolutions,),
        invariants=(Invariant("hold.resolved_once", twice.c.resolutions > 1),),
        walked=TRANSFERS.c.pending_id,
        by_time=True,
    )


FAMILIES = (_accounts(), _transfers(), _resolutions(), *share_checks.FAMILIES)


@dataclass(slots=True)
class _Sums:
    credits: int = 0
    debits: int = 0
    pending: int = 0
    transfers: int = 0
    newest: int = 0
    bonuses: int = 0

    def add(self, moved: Sequence[Any]) -> None:
        self.credits += int(moved[0])
        self.debits += int(moved[1])
        self.pending += int(moved[2])
        self.transfers += moved[3]
        self.newest = max(self.newest, moved[4])
        self.bonuses += int(moved[5])


def _moved() -> Select[*tuple[Any, ...]]:
    pending = case(
        (_t.c.kind == "hold", _t.c.amount), (_t.c.kind.in_(RESOLVING), -func.coalesce(_hold.c.amount, 0)), else_=0
    )
    return (
        select(
            _t.c.account_id,
            func.sum(case((and_(_posted, _inward), _t.c.amount), else_=0)),
            func.sum(case((and_(_posted, not_(_inward)), _t.c.amount), else_=0)),
            func.sum(pending),
            func.count(),
            func.max(_t.c.account_version),
            func.sum(case((_t.c.kind == "bonus", 1), else_=0)),
            func.sum(case((and_(_posted, _t.c.credit_id == CLEARING), _t.c.amount), else_=0)),
            func.sum(case((and_(_posted, _t.c.debit_id == CLEARING), _t.c.amount), else_=0)),
        )
        .select_from(_t.outerjoin(_hold, _hold.c.id == _t.c.pending_id))
        .where(within(_t.c.id))
        .group_by(_t.c.account_id)
    )


_MOVED = _moved()


def counters(session: Session) -> Findings:
    """Compare every account's counters, and what is in clearing, with the sums of all transfers.

    The sums are made in the order of time, span by span: in the order of accounts each transfer would be one random
    read. What is kept in memory is six numbers for each account.
    """
    sums: defaultdict[str, _Sums] = defaultdict(_Sums)
    cleared = 0
    for span in spans(session, TRANSFERS.c.id, rows=SUMMED_ROWS):
        for account_id, *moved, into, out in session.connection().execute(_MOVED, span):
            cleared += int(into) - int(out)
            if account_id is not None:
                sums[account_id].add(moved)
    found = share_checks.days(session)
    own = ACCOUNTS.c
    read = select(own.id, own.credits_posted, own.debits_posted, own.debits_pending, own.version).order_by(own.id)
    for account in session.connection().execute(read).yield_per(10_000):
        _compare(account, sums[account.id], found)
        found.examined += 1
    if cleared != (owed := share_checks.owed(session)):
        found.add("clearing.balance", subject=CLEARING, detail=f"cleared={cleared} owed={owed}")
    return found


def _compare(account: Row[*tuple[Any, ...]], moved: _Sums, found: Findings) -> None:
    detail = (
        f"credits={account.credits_posted} debits={account.debits_posted} held={account.debits_pending} "
        f"version={account.version} moved: credits={moved.credits} debits={moved.debits} held={moved.pending} "
        f"transfers={moved.transfers} newest={moved.newest} bonuses={moved.bonuses}"
    )
    for name, broken in (
        ("account.posted", (account.credits_posted, account.debits_posted) != (moved.credits, moved.debits)),
        ("account.pending", account.debits_pending != moved.pending),
        ("account.version", (account.version, account.version) != (moved.transfers, moved.newest)),
        ("account.bonus", moved.bonuses > 1),
    ):
        if broken:
            found.add(name, subject=account.id, detail=detail)
