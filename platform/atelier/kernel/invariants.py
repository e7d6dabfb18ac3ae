"""Promises about stored rows, as SQL, and the walk that finds the rows that break one.

A family is judged in one pass over a table: the walk cuts the table into spans of its key, so that no statement runs
for long however large the table is, and each span is judged by one statement that returns totals only. Rows are read
one by one only when they break a promise, and no more than a few as examples.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Column,
    ColumnElement,
    FromClause,
    String,
    and_,
    bindparam,
    case,
    func,
    select,
    true,
)
from sqlalchemy.orm import Session

Severity = Literal["violation", "warning"]

EXAMPLES_MAX = 20
SPAN_ROWS = 50_000
# Every key is ASCII text: below all of them, and above.
FIRST, LAST = "", "~"
AFTER: BindParameter[str] = bindparam("after", type_=String)
UNTIL: BindParameter[str] = bindparam("until", type_=String)
NOW_MS: BindParameter[int] = bindparam("now_ms", type_=BigInteger)


@dataclass(frozen=True, slots=True)
class Invariant:
    """A promise with a stable name, and the condition under which a row breaks it."""

    name: str
    broken: ColumnElement[bool]
    severity: Severity = "violation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Promises that are judged together.

    rows        what is joined; it holds `within(walked)` when the family is walked
    subject     names a row in a finding
    facts       labelled columns that a finding shows
    walked      the key by whose spans the table is walked; None when an index finds the few rows that matter
    by_time     whether the walked key is a UUIDv7, so that a walk may begin at a moment
    """

    rows: FromClause
    subject: ColumnElement[Any]
    facts: tuple[ColumnElement[Any], ...]
    invariants: tuple[Invariant, ...]
    where: ColumnElement[bool] = field(default_factory=true)
    walked: Column[str] | None = None
    by_time: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One row that breaks one promise."""

    check: str
    severity: Severity
    subject: str
    detail: str


@dataclass(slots=True)
class Findings:
    """What a walk gathers: how many rows were judged, how many break each promise, and examples."""

    examined: int = 0
    totals: Counter[str] = field(default_factory=Counter[str])
    examples: list[Finding] = field(default_factory=list[Finding])

    def add(self, check: str, *, subject: str, detail: str, severity: Severity = "violation") -> None:
        """Count a row that breaks a promise, and keep it as an example while there is room."""
        self.totals[check] += 1
        if self.totals[check] <= EXAMPLES_MAX:
            self.examples.append(Finding(check=check, severity=severity, subject=subject, detail=detail))


def within(key: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether the key lies in the span that is being judged."""
    return and_(key > AFTER, key <= UNTIL)


def unless(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether the condition doesn't hold: unlike NOT, also when it is unknown because something it names is missing."""
    return case((condition, 0), else_=1) == 1


def gather(
    session: Session, families: Iterable[Family], *, now_ms: int, since: str = FIRST, span_rows: int = SPAN_ROWS
) -> Findings:
    """Judge the families. Those that are walked by time begin after the key `since`."""
    found = Findings()
    for family in families:
        after = since if family.by_time else FIRST
        everything: Iterable[dict[str, str]] = [{}]
        walk = everything if family.walked is None else spans(session, family.walked, after=after, rows=span_rows)
        for span in walk:
            _judge(session, family, {**span, "now_ms": now_ms}, found)
    return found


def spans(session: Session, key: Column[str], *, after: str = FIRST, rows: int = SPAN_ROWS) -> Iterator[dict[str, str]]:
    """Cut a table into spans of its key, each of about this many rows: the parameters of `within`."""
    while True:
        step = select(key).where(key > after).order_by(key).limit(1).offset(rows)
        until = session.connection().execute(step).scalar_one_or_none()
        if until is None:
            break
        yield {"after": after, "until": until}
        after = until
    yield {"after": after, "until": LAST}


def _judge(session: Session, family: Family, parameters: Mapping[str, Any], found: Findings) -> None:
    broken = [func.coalesce(func.sum(case((one.broken, 1), else_=0)), 0) for one in family.invariants]
    totals = select(func.count(), *broken).select_from(family.rows).where(family.where)
    examined, *counts = session.connection().execute(totals, parameters).one()
    found.examined += examined
    for invariant, count in zip(family.invariants, counts, strict=True):
        if count:
            room = EXAMPLES_MAX - min(EXAMPLES_MAX, found.totals[invariant.name])
            found.totals[invariant.name] += int(count)
            found.examples += _examples(session, family, invariant, parameters=parameters, room=room)


def _examples(
    session: Session, family: Family, invariant: Invariant, *, parameters: Mapping[str, Any], room: int
) -> list[Finding]:
    if not room:
        return []
    statement = (
        select(family.subject.label("subject"), *family.facts)
        .select_from(family.rows)
        .where(family.where, invariant.broken)
        .order_by("subject")
        .limit(room)
    )
    rows = [dict(row) for row in session.connection().execute(statement, parameters).mappings()]
    return [
        Finding(
            check=invariant.name,
            severity=invariant.severity,
            subject=str(row.pop("subject")),
            detail=" ".join(f"{name}={value}" for name, value in row.items()),
        )
        for row in rows
    ]
