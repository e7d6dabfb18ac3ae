"""What happened in a span of time, counted from the rows that it happened in.

Everything counted here is final once written: a user's creation, a job's creation and its end, a transfer. So counting
a span again gives the same numbers, unless something was committed late, and then the right ones. What orders brought
is counted in `sales`.

    sign_ups ''                 users created
    submitted ''                jobs created
    jobs <state>                jobs ended
    jobs_agent <agent>          completed jobs of an agent; credits_agent <agent> what they cost
    jobs_provider <name>:<state>
    wait <bucket>, run <bucket> ended jobs by the time before their last start and from there on
    transfers <kind>, credits <kind>   how many, and the sum of their amounts
    earned <user>               creators' shares
"""

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Any

from sqlalchemy import ColumnElement, Select, String, and_, case, cast, func, select
from sqlalchemy.orm import Session

from atelier.accounts.models import User
from atelier.analytics import sales
from atelier.jobs import states
from atelier.jobs.models import JOBS
from atelier.ledger.models import TRANSFERS

Facts = dict[tuple[str, str], int]
"""(metric, dimension) → sum."""

METRICS = (
    *("sign_ups", "submitted", "jobs", "jobs_agent", "credits_agent", "jobs_provider", "wait", "run"),
    *("transfers", "credits", "earned"),
    *sales.METRICS,
)
J = JOBS.c
T = TRANSFERS.c


def count(session: Session, *, from_ms: int, until_ms: int) -> Facts:
    """Everything that happened from `from_ms` until before `until_ms`."""
    facts: Counter[tuple[str, str]] = Counter()
    span = (from_ms, until_ms)
    facts["sign_ups", ""] += _number(session, _within(User.created_ms, span))
    facts["submitted", ""] += _number(session, and_(_within(J.created_ms, span), J.parent_id.is_(None)))
    found = (_ended(session, span), _times(session, span), _moved(session, span))
    sold = sales.count(session, from_ms=from_ms, until_ms=until_ms)
    for metric, dimension, value in chain(*found, sold):
        facts[metric, dimension] += value
    return {key: value for key, value in facts.items() if value}


def _within(column: Any, span: tuple[int, int]) -> ColumnElement[bool]:
    return and_(column >= span[0], column < span[1])


def _number(session: Session, condition: ColumnElement[bool]) -> int:
    return int(session.connection().execute(select(func.count()).where(condition)).scalar_one())


def _ended(session: Session, span: tuple[int, int]) -> Iterator[tuple[str, str, int]]:
    rows = session.connection().execute(
        select(J.state, J.provider, J.agent_id, J.parent_id.is_not(None), func.count(), func.sum(J.used))
        .where(_within(J.finished_ms, span))
        .group_by(J.state, J.provider, J.agent_id, J.parent_id.is_not(None))
    )
    for state, provider, agent_id, is_step, number, used in rows:
        yield "jobs_provider", f"{provider}:{state}", number
        if is_step:
            continue  # Nobody has asked for it by itself.
        yield "jobs", state, number
        if state == states.COMPLETED:
            yield "jobs_agent", agent_id, number
            yield "credits_agent", agent_id, int(used)


def _times(session: Session, span: tuple[int, int]) -> Iterator[tuple[str, str, int]]:
    for metric, milliseconds in (("wait", J.started_ms - J.created_ms), ("run", J.finished_ms - J.started_ms)):
        for dimension, number in session.connection().execute(_by_bucket(milliseconds, span)):
            yield metric, dimension, number


def _by_bucket(milliseconds: ColumnElement[int], span: tuple[int, int]) -> Select[str, int]:
    """Durations by their first two digits and their length: `12e3` is 12 000 to 12 999 ms, at most a tenth apart."""
    # Two clocks may disagree by a little; a time is never negative.
    digits = cast(case((milliseconds < 0, 0), else_=milliseconds), String(20))
    # Grouped as text that is put together here, because the databases don't concatenate alike.
    first, length = func.substr(digits, 1, 2), func.length(digits)
    found = (
        select(first.label("first"), length.label("length"), func.count().label("number"))
        .where(_within(J.finished_ms, span), J.started_ms.is_not(None))
        .group_by(first, length)
        .subquery()
    )
    bucket: ColumnElement[str] = found.c.first.concat("e").concat(
        cast(case((found.c.length > 2, found.c.length - 2), else_=0), String(2))
    )
    number: ColumnElement[int] = found.c.number
    return select(bucket, number)


def _moved(session: Session, span: tuple[int, int]) -> Iterator[tuple[str, str, int]]:
    kind = case(
        (and_(T.kind == "adjust", T.credit_id == T.account_id), "adjust_in"),
        (T.kind == "adjust", "adjust_out"),
        (and_(T.kind == "share", T.credit_id.like("system:%")), "share_platform"),
        else_=T.kind,
    )
    rows = session.connection().execute(
        select(kind, func.count(), func.sum(T.amount)).where(_within(T.created_ms, span)).group_by(kind)
    )
    for name, number, amount in rows:
        yield "transfers", name, number
        yield "credits", name, int(amount)
    yield "credits", "uncaptured", _uncaptured(session, span)
    earned = (
        select(T.credit_id, func.sum(T.amount))
        .where(_within(T.created_ms, span), T.kind == "share", T.credit_id.not_like("system:%"))
        .group_by(T.credit_id)
    )
    for user_id, amount in session.connection().execute(earned):
        yield "earned", user_id, int(amount)


def _uncaptured(session: Session, span: tuple[int, int]) -> int:
    """The parts of holds that captures left: free again, like those of releases."""
    held = TRANSFERS.alias("held")
    left = (
        select(func.coalesce(func.sum(held.c.amount - T.amount), 0))
        .join(held, held.c.id == T.pending_id)
        .where(_within(T.created_ms, span), T.kind == "capture")
    )
    return int(session.connection().execute(left).scalar_one())
