"""What the ledger promises about the shares of what was paid for agents.

share.missing    what was captured or paid is shared: at least one share of it is posted or owed
share.sum        … and its shares, posted and owed, add up to it
share.earning    a creator's share is the one that is written down as earned, and is posted once it was paid out
share.source     a share is of something that was captured or paid
share.late       a creator is paid within minutes
earning.source   what is written down as earned comes from something that was captured or paid
earning.days     the sums of a creator's days are the sums of what they were paid
"""

from collections import defaultdict

from sqlalchemy import String, and_, case, func, literal, or_, select
from sqlalchemy.orm import Session

from atelier.kernel.clock import MINUTE_MS
from atelier.kernel.invariants import NOW_MS, Family, Findings, Invariant, spans, unless, within
from atelier.ledger.models import EARNING_DAYS, EARNINGS, TRANSFERS

SUMMED_ROWS = 500_000
LATE_MS = 10 * MINUTE_MS
PAID_KINDS = ("capture", "purchase")

_t = TRANSFERS.alias("t")
_creators = TRANSFERS.alias("cs")
_platforms = TRANSFERS.alias("ps")
_source = TRANSFERS.alias("s")
_e = EARNINGS.alias("e")
_T, _C, _P, _S, _E = _t.c, _creators.c, _platforms.c, _source.c, _e.c


def _shared() -> Family:
    thing = case(
        (_T.kind == "capture", literal("share") + func.substr(_T.key, len("capture:"), type_=String)),
        else_=literal("share:") + _T.key,
    )
    owed = case((_E.due_ms.is_not(None), _E.amount), else_=0)
    missing = and_(_T.amount > 0, _C.id.is_(None), _P.id.is_(None), _E.ref_id.is_(None))
    total = func.coalesce(_C.amount, 0) + func.coalesce(_P.amount, 0) + owed
    differs = or_(
        and_(_E.paid_ms.is_not(None), func.coalesce(_C.amount, 0) != _E.amount),
        and_(_C.id.is_not(None), or_(_E.ref_id.is_(None), _E.due_ms.is_not(None), _C.account_id != _E.creator_id)),
        _E.gross != _T.amount,
    )
    return Family(
        rows=_t.outerjoin(_creators, _C.key == thing + literal(":creator"))
        .outerjoin(_platforms, _P.key == thing + literal(":platform"))
        .outerjoin(_e, _E.ref_id == _T.ref_id),
        subject=_T.id,
        facts=(
            _T.key,
            _T.amount,
            _C.amount.label("creators"),
            _P.amount.label("platforms"),
            _E.amount.label("earned"),
            _E.due_ms,
            _E.creator_id,
        ),
        invariants=(
            Invariant("share.missing", missing),
            Invariant("share.sum", and_(unless(missing), total != _T.amount)),
            Invariant("share.earning", differs),
        ),
        where=and_(within(_T.id), _T.kind.in_(PAID_KINDS)),
        walked=TRANSFERS.c.id,
        by_time=True,
    )


def _sources() -> Family:
    thing = func.replace(func.replace(_T.key, ":creator", ""), ":platform", "", type_=String)
    source = case(
        (_T.key.like("share:purchase:%"), func.substr(thing, len("share:") + 1, type_=String)),
        else_=literal("capture") + func.substr(thing, len("share:"), type_=String),
    )
    return Family(
        rows=_t.outerjoin(_source, _S.key == source),
        subject=_T.id,
        facts=(_T.key, _T.amount, _T.credit_id, _S.amount.label("paid")),
        invariants=(Invariant("share.source", unless(and_(_S.kind.in_(PAID_KINDS), _S.ref_id == _T.ref_id))),),
        where=and_(within(_T.id), _T.kind == "share"),
        walked=TRANSFERS.c.id,
        by_time=True,
    )


def _unpaid() -> Family:
    return Family(
        rows=_e,
        subject=_E.ref_id,
        facts=(_E.creator_id, _E.amount, (NOW_MS - _E.created_ms).label("age_ms")),
        invariants=(Invariant("share.late", _E.created_ms < NOW_MS - LATE_MS, "warning"),),
        where=_E.due_ms.is_not(None),
    )


def _earned() -> Family:
    return Family(
        rows=_e.outerjoin(_t, and_(_T.ref_id == _E.ref_id, _T.kind.in_(PAID_KINDS))),
        subject=_E.ref_id,
        facts=(_E.ref_type, _E.creator_id, _E.amount),
        invariants=(Invariant("earning.source", unless(_T.ref_type == _E.ref_type)),),
        where=within(_E.ref_id),
        walked=EARNINGS.c.ref_id,
        by_time=True,
    )


FAMILIES = (_shared(), _sources(), _unpaid(), _earned())

_PAID_OUT = (
    select(_E.creator_id, func.count(), func.sum(_E.gross), func.sum(_E.amount))
    .where(within(_E.ref_id), _E.paid_ms.is_not(None))
    .group_by(_E.creator_id)
)


def days(session: Session) -> Findings:
    """Compare the sums of all days with those of all shares, creator by creator."""
    paid: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for span in spans(session, EARNINGS.c.ref_id, rows=SUMMED_ROWS):
        for creator_id, *sums in session.connection().execute(_PAID_OUT, span):
            paid[creator_id] = [have + int(more) for have, more in zip(paid[creator_id], sums, strict=True)]
    found = Findings()
    columns = EARNING_DAYS.c
    totals = (func.sum(columns.number), func.sum(columns.gross), func.sum(columns.amount))
    added = select(columns.creator_id, *totals).group_by(columns.creator_id)
    summed = {row[0]: [int(one) for one in row[1:]] for row in session.connection().execute(added)}
    for creator_id in sorted(paid.keys() | summed.keys()):
        found.examined += 1
        have, ought = summed.get(creator_id, [0, 0, 0]), paid.get(creator_id, [0, 0, 0])
        if have != ought:
            found.add("earning.days", subject=creator_id, detail=f"days={have} paid={ought} (number, gross, amount)")
    return found


def owed(session: Session) -> int:
    """How much lies in clearing for creators."""
    columns = EARNINGS.c
    total = select(func.coalesce(func.sum(columns.amount), 0)).where(columns.due_ms.is_not(None))
    return int(session.connection().execute(total).scalar_one())
