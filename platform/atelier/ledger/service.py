"""The verbs of the ledger. Each takes its business key, so that doing it twice is refused by the database.

Amounts are whole credits. The debited side of a hold is the user, the credited side the clearing account; nothing is
posted until the hold is captured, and the part that is not captured is free again in the same moment. What is captured
or paid for an agent is shared by the terms that come with it: see `shares`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.kernel.database import Again, any_of, is_duplicate
from atelier.ledger import earnings, models, shares
from atelier.ledger.errors import HoldResolved, InsufficientCredits
from atelier.ledger.models import ACCOUNTS, TRANSFERS
from atelier.ledger.posting import Move, Posted, locked, post
from atelier.ledger.shares import Paid, Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Reserve `amount` of a user's credits for a thing. `key` is `hold:<type>:<id>`."""

    transfer_id: str
    key: str
    user_id: str
    amount: int
    ref_type: str
    ref_id: str
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """End the hold on a thing: take `amount` of it (0 … held), give the rest back. None takes nothing: a release.

    Where something is taken, `terms` say who shares in it.
    """

    transfer_id: str
    hold_key: str
    amount: int | None
    terms: Terms | None = None


def open_account(session: Session, *, user_id: str, now_ms: int) -> None:
    """Give a new user an empty account."""
    row = {
        "id": user_id,
        "kind": "user",
        "credits_posted": 0,
        "debits_posted": 0,
        "debits_pending": 0,
        "version": 0,
        "created_ms": now_ms,
    }
    session.connection().execute(insert(ACCOUNTS), row)


def lock(session: Session, user_ids: Iterable[str]) -> None:
    """Have whoever else moves credits of these users wait until this transaction has ended. Raises NoAccount."""
    locked(session, user_ids)


def hold(session: Session, holds: Sequence[Hold], *, now_ms: int) -> list[Posted | InsufficientCredits]:
    """Reserve credits; one that can't be afforded is refused and leaves its neighbours alone."""
    moves = [
        Move(
            transfer_id=one.transfer_id,
            key=one.key,
            kind="hold",
            account_id=one.user_id,
            counter_id=models.CLEARING,
            amount=one.amount,
            pending=one.amount,
            ref_type=one.ref_type,
            ref_id=one.ref_id,
            note=one.note,
        )
        for one in holds
    ]
    return post(session, moves, now_ms=now_ms)


def resolve(session: Session, resolutions: Sequence[Resolution], *, now_ms: int) -> list[Posted]:
    """Capture or release holds. Raises HoldResolved when one is unknown or was resolved before."""
    found = _open_holds(session, [one.hold_key for one in resolutions])
    moves: list[Move] = []
    paid: list[Paid] = []
    for one in resolutions:
        held = found.pop(one.hold_key, None)
        if held is None:
            raise HoldResolved(one.hold_key)
        moves.append(_resolving(one, held))
        paid += _paid(one, held)
    try:
        posted = post(session, moves, now_ms=now_ms, passages=shares.passages(paid))
        earnings.owe(session, [one.earning for one in paid if one.earning], now_ms=now_ms)
    except IntegrityError as error:
        # Someone resolved one of them between our look and our lock: the next look sees it.
        if is_duplicate(error):
            raise Again from error
        raise
    return [one for one in posted if isinstance(one, Posted)]


@dataclass(frozen=True, slots=True)
class _Held:
    id: str
    account_id: str
    amount: int
    ref_type: str
    ref_id: str
    note: str | None


def _open_holds(session: Session, keys: Sequence[str]) -> dict[str, _Held]:
    rows = session.connection().execute(_OPEN_HOLDS, {"keys": keys})
    return {row[0]: _Held(*row[1:]) for row in rows}


_T, _ENDED = TRANSFERS.c, TRANSFERS.alias("ended")
_OPEN_HOLDS = (
    select(_T.key, _T.id, _T.account_id, _T.amount, _T.ref_type, _T.ref_id, _T.note)
    .select_from(TRANSFERS.outerjoin(_ENDED, _ENDED.c.pending_id == _T.id))
    .where(_T.key.in_(any_of("keys")), _T.kind == "hold", _ENDED.c.id.is_(None))
)


def _resolving(one: Resolution, held: _Held) -> Move:
    taken = one.amount
    if taken is not None and not 0 <= taken <= held.amount:
        message = f"cannot capture {taken} of a hold of {held.amount}"
        raise AssertionError(message)
    kind = "release" if taken is None else "capture"
    return Move(
        transfer_id=one.transfer_id,
        key=one.hold_key.replace("hold:", f"{kind}:", 1),
        kind=kind,
        account_id=held.account_id,
        counter_id=models.CLEARING,
        amount=held.amount if taken is None else taken,
        debit=taken or 0,
        pending=-held.amount,
        pending_id=held.id,
        ref_type=held.ref_type,
        ref_id=held.ref_id,
        note=held.note,
    )


def _paid(one: Resolution, held: _Held) -> list[Paid]:
    if not one.amount:
        return []
    if one.terms is None:
        message = f"nobody shares in what {one.hold_key} brings"
        raise AssertionError(message)
    thing = one.hold_key.removeprefix("hold:")
    return [
        Paid(
            thing=thing,
            ref_type=held.ref_type,
            ref_id=held.ref_id,
            note=held.note,
            amount=one.amount,
            terms=one.terms,
        )
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A movement that is posted at once."""

    transfer_id: str
    key: str
    user_id: str
    amount: int
    ref_type: str | None = None
    ref_id: str | None = None
    note: str | None = None
    actor: str | None = None


def topup(session: Session, entry: Entry, *, now_ms: int) -> Posted:
    """Credits that were paid for."""
    return _give(session, entry, kind="topup", counter_id=models.TOPUP, now_ms=now_ms)


def bonus(session: Session, entry: Entry, *, now_ms: int) -> Posted:
    """Credits that are a gift."""
    return _give(session, entry, kind="bonus", counter_id=models.BONUS, now_ms=now_ms)


def consume(session: Session, entry: Entry, *, now_ms: int) -> Posted:
    """Spend on a service of the platform. Raises InsufficientCredits."""
    return _take(session, entry, kind="consume", counter_id=models.PLATFORM, now_ms=now_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """An agent that is bought for `amount` credits. `share_id` is for the transfer to its creator."""

    purchase_id: str
    transfer_id: str
    share_id: str
    user_id: str
    amount: int
    note: str | None
    terms: Terms


PURCHASE = "agent_purchase"
"""The `ref_type` of what a purchase moves."""


def purchase(session: Session, one: Purchase, *, now_ms: int, utc_offset_ms: int) -> list[Posted]:
    """Buy an agent: to clearing, and from there to whom it belongs. Raises InsufficientCredits.

    The accounts afterwards: the buyer's, then the creator's if there was a share for them.
    """
    paid = Paid(
        thing=f"purchase:{one.purchase_id}",
        ref_type=PURCHASE,
        ref_id=one.purchase_id,
        note=one.note,
        amount=one.amount,
        terms=one.terms,
    )
    moves = [_purchasing(one, paid)]
    if earning := paid.earning:
        moves += earning.moves(thing=paid.thing, transfer_id=one.share_id)
    posted: list[Posted] = []
    for outcome in post(session, moves, now_ms=now_ms, passages=shares.passages([paid])):
        if isinstance(outcome, InsufficientCredits):
            raise outcome
        posted.append(outcome)
    if earning:
        earnings.paid(session, earning, now_ms=now_ms, utc_offset_ms=utc_offset_ms)
    return posted


def _purchasing(one: Purchase, paid: Paid) -> Move:
    return Move(
        transfer_id=one.transfer_id,
        key=paid.thing,
        kind="purchase",
        account_id=one.user_id,
        counter_id=models.CLEARING,
        amount=one.amount,
        debit=one.amount,
        ref_type=paid.ref_type,
        ref_id=paid.ref_id,
        note=paid.note,
    )


def adjust(session: Session, entry: Entry, *, now_ms: int) -> Posted:
    """An administrator's correction, `amount` of either sign; `note` is the reason. Raises InsufficientCredits."""
    if entry.amount >= 0:
        return _give(session, entry, kind="adjust", counter_id=models.ADJUST, now_ms=now_ms)
    return _take(session, replace(entry, amount=-entry.amount), kind="adjust", counter_id=models.ADJUST, now_ms=now_ms)


def _give(session: Session, entry: Entry, *, kind: str, counter_id: str, now_ms: int) -> Posted:
    return _only(session, _entry_move(entry, kind, counter_id, credit=entry.amount), now_ms)


def _take(session: Session, entry: Entry, *, kind: str, counter_id: str, now_ms: int) -> Posted:
    return _only(session, _entry_move(entry, kind, counter_id, debit=entry.amount), now_ms)


def _entry_move(entry: Entry, kind: str, counter_id: str, *, credit: int = 0, debit: int = 0) -> Move:
    return Move(
        transfer_id=entry.transfer_id,
        key=entry.key,
        kind=kind,
        account_id=entry.user_id,
        counter_id=counter_id,
        amount=credit or debit,
        credit=credit,
        debit=debit,
        ref_type=entry.ref_type,
        ref_id=entry.ref_id,
        note=entry.note,
        actor=entry.actor,
    )


def _only(session: Session, move: Move, now_ms: int) -> Posted:
    (outcome,) = post(session, [move], now_ms=now_ms)
    if isinstance(outcome, InsufficientCredits):
        raise outcome
    return outcome
