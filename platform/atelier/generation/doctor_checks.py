"""What holds between jobs and the ledger, and of everything else that carries a promise.

job.hold         a job with a price has exactly one hold: of that amount, on its user's account
job.capture      a completed job that used credits captured its hold, for what it used, exactly once
job.release      a job that failed, was canceled or made nothing that costs released its hold, exactly once
job.open         a job that has not ended has neither captured nor released
job.price        what was held is the price of the agent's version; of a metered one, not more than its maximum
job.pricing      a job is metered by the rule of its version
job.share        what a job's creator has earned by it is its agent's creator's; nobody earns by the house's agents
hold.job         a hold for a job has that job
purchase.active  a user has at most one active purchase of an agent
purchase.paid    a purchase was paid for, once, by its user, at its price
purchase.made    what was paid for a purchase has that purchase
purchase.over    the place of a subscription that has ended is freed soon
mail.once        an e-mail is recorded once for its template and cause
mail.stuck       an e-mail is sent, or tried again, soon
outbox.unsent    a message leaves within a minute
"""

from typing import Any, cast

from sqlalchemy import ColumnElement, String, Table, and_, case, func, literal, not_, or_, select

from atelier.catalog.models import AGENTS, PURCHASES, VERSIONS
from atelier.catalog.seed_content import HOUSE_ID
from atelier.contracts import outbox
from atelier.jobs import states
from atelier.jobs.models import JOBS
from atelier.kernel.clock import HOUR_MS, MINUTE_MS, db_now_ms
from atelier.kernel.invariants import NOW_MS, Family, Invariant, unless, within
from atelier.ledger.models import EARNINGS, TRANSFERS
from atelier.ledger.service import PURCHASE
from atelier.mail.models import Email

EMAILS = cast("Table", Email.__table__)
UNSENT_MS = MINUTE_MS
UNSENT_TRIES = 3
MAIL_OVERDUE_MS = 5 * MINUTE_MS
MAIL_AGE_MS = 2 * HOUR_MS
OVER_MS = HOUR_MS

_j = JOBS.alias("j")
_h = TRANSFERS.alias("h")
_r = TRANSFERS.alias("r")
_v = VERSIONS.alias("v")
_a = AGENTS.alias("a")
_e = EARNINGS.alias("e")
_p = PURCHASES.alias("p")
_J, _H, _R, _V, _A, _E, _P = _j.c, _h.c, _r.c, _v.c, _a.c, _e.c, _p.c


def _hold_key(job_id: ColumnElement[str]) -> ColumnElement[str]:
    return "hold:job:" + job_id


def _holds() -> Family:
    right = and_(
        _H.kind == "hold", _H.amount == _J.held, _H.account_id == _J.user_id, _H.ref_type == "job", _H.ref_id == _J.id
    )
    held, metered = _J.held > 0, _J.pricing.is_not(None)
    known = and_(_V.agent_id.is_not(None), _J.parent_id.is_(None))  # Steps are paid for by what they are steps of.
    completed, unmade = _J.state == states.COMPLETED, _J.state.in_((states.FAILED, states.CANCELED))
    gratis = and_(completed, _J.used == 0)
    price = case((_V.price_type == "pay_per_use", func.coalesce(_V.credits_per_use, 0)), else_=0)
    return Family(
        rows=_j.outerjoin(_h, _H.key == _hold_key(_J.id))
        .outerjoin(_r, _R.pending_id == _H.id)
        .outerjoin(_v, and_(_V.agent_id == _J.agent_id, _V.version == _J.agent_version)),
        subject=_J.id,
        facts=(
            _J.user_id,
            _J.state,
            _J.held,
            _J.used,
            _H.id.label("hold"),
            _H.account_id.label("hold_account"),
            _H.amount.label("hold_amount"),
            _R.kind.label("ended_by"),
            _R.amount.label("ended_amount"),
            price.label("price"),
        ),
        invariants=(
            Invariant("job.hold", case((held, unless(right)), else_=_H.id.is_not(None))),
            Invariant("job.capture", and_(held, completed, not_(gratis), _missing("capture", _J.used))),
            Invariant("job.release", and_(held, or_(unmade, gratis), _missing("release", _J.held))),
            Invariant("job.open", and_(_J.state.in_(states.ALIVE), _R.id.is_not(None))),
            Invariant("job.price", and_(known, case((metered, _J.held > price), else_=_J.held != price))),
            Invariant("job.pricing", and_(known, _written(_J.pricing) != _written(_V.pricing))),
        ),
        where=within(_J.id),
        walked=JOBS.c.id,
        by_time=True,
    )


def _written(document: ColumnElement[Any]) -> ColumnElement[str]:
    return func.coalesce(document, literal(""), type_=String)


def _missing(kind: str, amount: ColumnElement[int]) -> ColumnElement[bool]:
    return unless(and_(_R.kind == kind, _R.amount == amount))


def _shares() -> Family:
    house = _A.creator_id == HOUSE_ID
    rightly = case((house, _E.ref_id.is_(None)), else_=_E.creator_id == _A.creator_id)
    return Family(
        rows=_j.join(_a, _A.id == _J.agent_id).outerjoin(_e, _E.ref_id == _J.id),
        subject=_J.id,
        facts=(_J.agent_id, _A.creator_id, _J.used, _E.creator_id.label("earned_by"), _E.agent_id.label("earned_with")),
        invariants=(Invariant("job.share", or_(unless(rightly), _E.agent_id != _J.agent_id)),),
        where=and_(within(_J.id), _J.used > 0),
        walked=JOBS.c.id,
        by_time=True,
    )


def _orphans() -> Family:
    return Family(
        rows=_h.outerjoin(_j, _J.id == _H.ref_id),
        subject=_H.id,
        facts=(_H.key, _H.account_id, _H.amount),
        invariants=(Invariant("hold.job", or_(_J.id.is_(None), _H.key != _hold_key(_J.id))),),
        where=and_(within(_H.id), _H.kind == "hold", _H.ref_type == "job"),
        walked=TRANSFERS.c.id,
        by_time=True,
    )


def _purchases() -> Family:
    columns = PURCHASES.c
    twice = (
        select(columns.user_id, columns.agent_id, func.count().label("purchases"))
        .where(columns.active_slot.is_not(None))
        .group_by(columns.user_id, columns.agent_id)
        .having(func.count() > 1)
        .subquery("twice")
    )
    return Family(
        rows=twice,
        subject=twice.c.user_id,
        facts=(twice.c.agent_id, twice.c.purchases),
        invariants=(Invariant("purchase.active", twice.c.purchases > 1),),
    )


def _payments() -> Family:
    paid = and_(_H.kind == "purchase", _H.account_id == _P.user_id, _H.amount == _P.price, _H.ref_id == _P.id)
    return Family(
        rows=_p.outerjoin(_h, _H.key == "purchase:" + _P.id),
        subject=_P.id,
        facts=(_P.user_id, _P.agent_id, _P.price, _H.account_id.label("paid_by"), _H.amount.label("paid")),
        invariants=(Invariant("purchase.paid", unless(paid)),),
        where=within(_P.id),
        walked=PURCHASES.c.id,
        by_time=True,
    )


def _paid_for() -> Family:
    return Family(
        rows=_h.outerjoin(_p, _P.id == _H.ref_id),
        subject=_H.id,
        facts=(_H.key, _H.account_id, _H.amount),
        invariants=(Invariant("purchase.made", _P.id.is_(None)),),
        where=and_(within(_H.id), _H.kind == "purchase", _H.ref_type == PURCHASE),
        walked=TRANSFERS.c.id,
        by_time=True,
    )


def _ended() -> Family:
    now = db_now_ms()
    return Family(
        rows=_p,
        subject=_P.id,
        facts=(_P.user_id, _P.agent_id, (now - _P.expires_ms).label("over_ms")),
        invariants=(Invariant("purchase.over", _P.expires_ms < now - OVER_MS, "warning"),),
        where=_P.due_ms < now - OVER_MS,
    )


def _letters() -> Family:
    columns = EMAILS.c
    twice = (
        select(columns.template, columns.ref, func.count().label("letters"))
        .group_by(columns.template, columns.ref)
        .having(func.count() > 1)
        .subquery("twice")
    )
    return Family(
        rows=twice,
        subject=twice.c.ref,
        facts=(twice.c.template, twice.c.letters),
        invariants=(Invariant("mail.once", twice.c.letters > 1, "warning"),),
    )


def _unsent_letters() -> Family:
    columns, now = EMAILS.c, db_now_ms()
    return Family(
        rows=EMAILS,
        subject=columns.id,
        facts=(columns.template, columns.state, columns.attempts, (now - columns.due_ms).label("overdue_ms")),
        invariants=(
            Invariant(
                "mail.stuck",
                or_(columns.due_ms < now - MAIL_OVERDUE_MS, columns.created_ms < NOW_MS - MAIL_AGE_MS),
                "warning",
            ),
        ),
        where=columns.state.in_(("queued", "sending")),
    )


def _messages() -> Family:
    columns, now = outbox.TABLE.c, db_now_ms()
    # 0 is at once; a claim moves the row a lease ahead, so a row that was tried often is as late as it is old.
    old = columns.created_ms < NOW_MS - UNSENT_MS
    late = or_(
        and_(columns.available_ms == 0, old), and_(columns.available_ms > 0, columns.available_ms < now - UNSENT_MS)
    )
    return Family(
        rows=outbox.TABLE,
        subject=columns.id,
        facts=(columns.contract, columns.tries, (NOW_MS - columns.created_ms).label("age_ms")),
        invariants=(Invariant("outbox.unsent", or_(late, and_(columns.tries >= UNSENT_TRIES, old)), "warning"),),
    )


FAMILIES = (
    _holds(),
    _shares(),
    _orphans(),
    _purchases(),
    _payments(),
    _paid_for(),
    _ended(),
    _letters(),
    _unsent_letters(),
    _messages(),
)
