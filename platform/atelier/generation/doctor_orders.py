"""What holds between orders, their refunds and the ledger.

order.topup        an order that was paid gave its credits to its user, once; no other order gave any
order.payment      no payment was taken for two orders
order.refunds      what an order says of refunds is their sum, and so is its state; they take no more than it gave
order.expired      an order that nobody can pay any more is closed soon
topup.source       what was paid for was an order that is paid, or a case for which so much was given
clawback.refund    what was taken back, or given back again, was for a refund
refund.order       a refund is of an order of its user, at its gateway
refund.taken       a refund took back what it says, once
refund.owed        … and what it could not take is a debt of its user
refund.restored    a refund that failed gave back what it took and what was paid of its debt, and no other did
refund.late        a gateway is asked about a refund when it is due
debt.paid          what was paid of a debt is the sum of its transfers
debt.open          a debt is open while something is owed, and its refund has not failed
debt.refund        a debt is of a refund, and of its user
payment.unsettled  what a gateway sent is settled within two minutes
case.open          someone looks at a case within a day
"""

from sqlalchemy import ColumnElement, Subquery, and_, case, func, not_, or_, select

from atelier.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS, db_now_ms
from atelier.kernel.invariants import NOW_MS, Family, Invariant, unless, within
from atelier.ledger.models import DEBTS, TRANSFERS
from atelier.orders import cases, resolutions, states
from atelier.orders.models import ORDERS, REFUNDS
from atelier.orders.payment_models import CASES, EVENTS

UNSETTLED_MS = 2 * MINUTE_MS
LATE_MS = 5 * MINUTE_MS
EXPIRED_MS = HOUR_MS
UNSEEN_MS = DAY_MS

_o, _other = ORDERS.alias("o"), ORDERS.alias("other")
_r = REFUNDS.alias("r")
_d = DEBTS.alias("d")
_c = CASES.alias("c")
_e = EVENTS.alias("e")
_t, _back = TRANSFERS.alias("t"), TRANSFERS.alias("back")
_O, _R, _D, _C, _E, _T, _B = _o.c, _r.c, _d.c, _c.c, _e.c, _t.c, _back.c
_unpaid = _O.state.in_(states.UNPAID)


def _orders() -> Family:
    sums = _sums()
    given = and_(_T.kind == "topup", _T.amount == _O.credits, _T.account_id == _O.user_id, _T.ref_id == _O.id)
    same = and_(
        _O.refunded_fen == func.coalesce(sums.c.done, 0),
        _O.refunding_fen == func.coalesce(sums.c.going, 0),
        func.coalesce(sums.c.credits, 0) <= _O.credits,
        _O.state == _state_of(),
    )
    return Family(
        rows=_o.outerjoin(_t, _T.key == "topup:order:" + _O.id).outerjoin(sums, sums.c.order_id == _O.id),
        subject=_O.id,
        facts=(
            _O.state,
            _O.user_id,
            _O.credits,
            _T.amount.label("given"),
            _T.account_id.label("given_to"),
            _O.amount_fen,
            _O.refunded_fen,
            _O.refunding_fen,
            sums.c.done,
            sums.c.going,
            sums.c.credits.label("taken_back"),
        ),
        invariants=(
            Invariant("order.topup", case((_unpaid, _T.id.is_not(None)), else_=unless(given))),
            Invariant("order.refunds", unless(same)),
        ),
        where=within(_O.id),
        walked=ORDERS.c.id,
        by_time=True,
    )


def _sums() -> Subquery:
    done = func.sum(case((_R.state == states.SUCCEEDED, _R.amount_fen), else_=0))
    going = func.sum(case((_R.state.in_(states.REFUND_OPEN), _R.amount_fen), else_=0))
    credits = func.sum(case((_R.state != states.FAILED, _R.credits), else_=0))  # noqa: A001 - the product's word
    return (
        select(_R.order_id, done.label("done"), going.label("going"), credits.label("credits"))
        .where(within(_R.order_id))
        .group_by(_R.order_id)
        .subquery("sums")
    )


def _state_of() -> ColumnElement[str]:
    """The state that the order's refunds make of it."""
    return case(
        (_unpaid, _O.state),
        (_O.refunding_fen > 0, states.REFUNDING),
        (_O.refunded_fen == _O.amount_fen, states.REFUNDED),
        (_O.refunded_fen > 0, states.PARTIALLY_REFUNDED),
        else_=states.PAID,
    )


def _paid_twice() -> Family:
    return Family(
        rows=_o.join(
            _other, and_(_other.c.provider == _O.provider, _other.c.payment_no == _O.payment_no, _other.c.id != _O.id)
        ),
        subject=_O.id,
        facts=(_O.provider, _O.payment_no, _other.c.id.label("other")),
        invariants=(Invariant("order.payment", _other.c.id.is_not(None)),),
        where=within(_O.id),
        walked=ORDERS.c.id,
        by_time=True,
    )


def _sources() -> Family:
    ordered = and_(_T.key == "topup:order:" + _O.id, not_(_unpaid), _T.amount == _O.credits)
    decided = and_(
        _T.key == "topup:case:" + _C.id,
        _C.resolution == resolutions.CREDITED,
        _C.credits == _T.amount,
        _C.user_id == _T.account_id,
    )
    named = case((_T.ref_type == "order", unless(ordered)), (_T.ref_type == "case", unless(decided)), else_=False)
    return Family(
        rows=_t.outerjoin(_o, _O.id == _T.ref_id).outerjoin(_c, _C.id == _T.ref_id),
        subject=_T.id,
        facts=(_T.key, _T.account_id, _T.amount, _O.state, _O.credits, _C.resolution),
        invariants=(Invariant("topup.source", named),),
        where=and_(within(_T.id), _T.kind == "topup"),
        walked=TRANSFERS.c.id,
        by_time=True,
    )


def _taken() -> Family:
    return Family(
        rows=_t.outerjoin(_r, _R.id == _T.ref_id),
        subject=_T.id,
        facts=(_T.key, _T.kind, _T.account_id, _T.amount, _R.user_id, _R.state),
        invariants=(Invariant("clawback.refund", unless(_R.user_id == _T.account_id)),),
        where=and_(within(_T.id), _T.kind.in_(("clawback", "restore"))),
        walked=TRANSFERS.c.id,
        by_time=True,
    )


def _refunds() -> Family:
    took = and_(_T.kind == "clawback", _T.amount == _R.taken, _T.account_id == _R.user_id)
    owes = and_(_D.amount == _R.credits - _R.taken, _D.user_id == _R.user_id)
    again = _R.taken + func.coalesce(_D.paid, 0)
    restored = and_(_B.kind == "restore", _B.amount == again, _B.account_id == _R.user_id)
    return Family(
        rows=_r.outerjoin(_o, _O.id == _R.order_id)
        .outerjoin(_t, _T.key == "clawback:refund:" + _R.id)
        .outerjoin(_d, _D.ref_id == _R.id)
        .outerjoin(_back, _B.key == "restore:refund:" + _R.id),
        subject=_R.id,
        facts=(
            _R.state,
            _R.credits,
            _R.taken,
            _O.user_id,
            _T.amount.label("clawback"),
            _D.amount.label("debt"),
            _D.paid.label("debt_paid"),
            _B.amount.label("restored"),
        ),
        invariants=(
            Invariant("refund.order", unless(and_(_O.user_id == _R.user_id, _O.provider == _R.provider))),
            Invariant("refund.taken", case((_R.taken > 0, unless(took)), else_=_T.id.is_not(None))),
            Invariant("refund.owed", case((_R.credits > _R.taken, unless(owes)), else_=_D.ref_id.is_not(None))),
            Invariant(
                "refund.restored",
                case((and_(_R.state == states.FAILED, again > 0), unless(restored)), else_=_B.id.is_not(None)),
            ),
        ),
        where=within(_R.id),
        walked=REFUNDS.c.id,
        by_time=True,
    )


def _debts() -> Family:
    # Debts are few, and the transfers of one are found by what they are for.
    paid = (
        select(func.coalesce(func.sum(_T.amount), 0))
        .where(_T.ref_id == _D.ref_id, _T.kind == "clawback", _T.key.startswith("clawback:debt:"))
        .correlate(_d)
        .scalar_subquery()
    )
    owing = and_(_D.paid < _D.amount, _R.state != states.FAILED)
    return Family(
        rows=_d.outerjoin(_r, _R.id == _D.ref_id),
        subject=_D.ref_id,
        facts=(_D.user_id, _D.amount, _D.paid, _D.open, _R.state, paid.label("transfers")),
        invariants=(
            Invariant("debt.paid", _D.paid != paid),
            Invariant("debt.open", _D.open.is_not(None) != owing),
            Invariant("debt.refund", unless(_R.user_id == _D.user_id)),
        ),
        where=within(_D.ref_id),
        walked=DEBTS.c.ref_id,
        by_time=True,
    )


def _waiting_refunds() -> Family:
    late = db_now_ms() - _R.due_ms
    return Family(
        rows=_r,
        subject=_R.id,
        facts=(_R.refund_no, _R.state, _R.tries, late.label("late_ms")),
        invariants=(Invariant("refund.late", _R.due_ms < db_now_ms() - LATE_MS, "warning"),),
        where=_R.due_ms.is_not(None),
    )


def _waiting_orders() -> Family:
    late = db_now_ms() - _O.expires_ms
    return Family(
        rows=_o,
        subject=_O.id,
        facts=(_O.order_no, _O.provider, late.label("late_ms")),
        invariants=(Invariant("order.expired", _O.expires_ms < db_now_ms() - EXPIRED_MS, "warning"),),
        where=_O.state == states.PENDING,
    )


def _inbox() -> Family:
    age = NOW_MS - _E.received_ms
    return Family(
        rows=_e,
        subject=_E.id,
        facts=(_E.provider, _E.kind, _E.order_no, age.label("age_ms")),
        invariants=(Invariant("payment.unsettled", age > UNSETTLED_MS, "warning"),),
        where=_E.due_ms.is_not(None),
    )


def _cases() -> Family:
    age = NOW_MS - _C.created_ms
    return Family(
        rows=_c,
        subject=_C.id,
        facts=(_C.kind, _C.state, _C.order_no, age.label("age_ms")),
        invariants=(Invariant("case.open", age > UNSEEN_MS, "warning"),),
        where=or_(_C.state == cases.OPEN, _C.state == resolutions.RETURNING),
    )


FAMILIES = (
    _orders(),
    _paid_twice(),
    _sources(),
    _taken(),
    _refunds(),
    _debts(),
    _waiting_refunds(),
    _waiting_orders(),
    _inbox(),
    _cases(),
)
