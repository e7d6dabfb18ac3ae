"""Cases: what money did that nobody ordered. Opened once for each matter, resolved by a person or by themselves."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.kernel.database import Again, is_duplicate, matched
from atelier.orders.payment_models import CASES

C = CASES.c
OPEN: Final = "open"
RESOLVED: Final = "resolved"
ACCEPTED: Final = "accepted"
# Money that came, and that no order was paid with.
STRAY_MONEY: Final = ("unknown_order", "wrong_amount", "double_payment")

Kind = Literal[
    "unknown_order",  # paid, for an order that is not ours
    "wrong_amount",  # paid, but not what the order costs
    "double_payment",  # paid once more
    "payment_reused",  # one payment that is said to be for two orders
    "late_payment",  # paid after the order was closed, and credited: resolved by itself
    "unknown_refund",  # paid back at the gateway by someone who did not ask us
    "refund_failed",  # the gateway would not pay back: the credits were given back
    "refund_stuck",  # nobody can say whether the gateway has paid back: it is asked on and on
    "refund_differs",  # the gateway paid back another amount
    "missing_in_bill",  # credited, but not in the gateway's books
    "amount_differs",  # the gateway's books name another amount
]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCase:
    """A matter. `key` names it: whoever finds it again opens no second case. `resolution` is set if none is needed."""

    id: str
    kind: Kind
    key: str
    provider: str
    order_no: str
    order_id: str | None = None
    user_id: str | None = None
    payment_no: str | None = None
    amount_fen: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    resolution: str | None = None


def open_once(session: Session, new: NewCase, *, now_ms: int) -> str:
    """Open the case unless it is there; its id, whoever opened it."""
    case_key = _key(new.kind, new.provider, new.key)
    known = session.connection().execute(select(C.id).where(C.case_key == case_key)).scalar_one_or_none()
    if known is not None:
        return str(known)
    row = {
        "id": new.id,
        "case_key": case_key,
        "kind": new.kind,
        "state": RESOLVED if new.resolution else OPEN,
        "provider": new.provider,
        "order_no": new.order_no,
        "order_id": new.order_id,
        "user_id": new.user_id,
        "payment_no": new.payment_no,
        "amount_fen": new.amount_fen,
        "details": dict(new.details),
        "resolution": new.resolution,
        "created_ms": now_ms,
        "resolved_ms": now_ms if new.resolution else None,
    }
    try:
        session.connection().execute(insert(CASES), row)
    except IntegrityError as error:
        if is_duplicate(error):
            raise Again from error  # Someone has opened it meanwhile: the next look sees it.
        raise
    return new.id


def find_stray(session: Session, *, provider: str, order_no: str, payment_no: str) -> tuple[str, str] | None:
    """Kind and id of the case of this money, if it has one: it keeps it, whatever becomes of its order later."""
    same = (C.order_no == order_no, C.payment_no == payment_no, C.provider == provider, C.kind.in_(STRAY_MONEY))
    row = session.connection().execute(select(C.kind, C.id).where(*same).order_by(C.id).limit(1)).one_or_none()
    return (row.kind, row.id) if row else None


def settle_by_itself(session: Session, *, kind: Kind, provider: str, key: str, resolution: str, now_ms: int) -> bool:
    """The matter has come to its end, and nobody need look at it any more; False when no such case is open."""
    mine = update(CASES).where(C.case_key == _key(kind, provider, key), C.state == OPEN)
    return matched(session, mine.values(state=RESOLVED, resolution=resolution, resolved_ms=now_ms)) == 1


def unaccepted_fen(session: Session, *, order_no: str) -> int:
    """What was paid back for an order at its gateway, and no administrator has accepted as a refund."""
    told = (C.order_no == order_no, C.kind == "unknown_refund", func.coalesce(C.resolution, "") != ACCEPTED)
    return int(session.connection().execute(select(func.coalesce(func.sum(C.amount_fen), 0)).where(*told)).scalar_one())


def _key(kind: str, provider: str, key: str) -> str:
    return f"{kind}:{provider}:{key}"
