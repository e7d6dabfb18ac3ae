"""Pages of a large table, newest first, at a price that is known before: so many rows are looked at and no more.

A walk follows one index, or several parts of one at once (its legs), and looks at each row whether it matches. When it
has looked at SCANNED_MAX rows it stops, and tells from where to go on: a page may be short, or empty, and not the last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, Table, case, literal, literal_column, select, union_all
from sqlalchemy.orm import Session

from atelier.kernel import ids

SCANNED_MAX = 2_000
# Above every id.
LAST = "~"


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """One page.

    key    the UUIDv7 that orders the table, and ends each index that a leg follows
    legs   conditions that leave one index to be followed each, and that no two of which a row meets
    rest   what else a row has to be
    index  name of the legs' index, for databases that would rather take another
    """

    key: Column[str]
    legs: Sequence[ColumnElement[bool] | None]
    rest: ColumnElement[bool] | None
    index: str
    limit: int
    before: str | None = None
    from_ms: int | None = None
    until_ms: int | None = None


def walk(session: Session, one: Walk) -> tuple[list[str], str | None]:
    """Keys of the rows that match, and the `before` of the next page, None after the last."""
    table, looked_at = one.key.table, one.limit if one.rest is None else max(SCANNED_MAX, one.limit)
    assert isinstance(table, Table)
    matches: ColumnElement[int] = literal_column("1") if one.rest is None else case((one.rest, 1), else_=0)
    reach = _reach(one)
    parts: list[Select[Any]] = []
    for leg in one.legs:
        part = select(one.key.label("key"), matches.label("matches")).with_hint(
            table, f"FORCE INDEX ({one.index})", "mysql"
        )
        part = part.where(*reach, *([] if leg is None else [leg])).order_by(one.key.desc()).limit(looked_at)
        parts.append(select(part.subquery()))
    legs = union_all(*parts).subquery()
    rows = session.connection().execute(select(legs).order_by(legs.c.key.desc()).limit(looked_at)).all()
    return _page(rows, limit=one.limit, looked_at=looked_at)


def _reach(one: Walk) -> list[ColumnElement[bool]]:
    # Ids are UUIDv7: their first 48 bits are the time, so a range of time is a range of the index.
    before = one.before or LAST
    if one.until_ms is not None:
        before = min(before, ids.floor(one.until_ms))
    reach: list[ColumnElement[bool]] = [one.key < literal(before, one.key.type)]
    if one.from_ms is not None:
        reach.append(one.key >= literal(ids.floor(one.from_ms), one.key.type))
    return reach


def _page(rows: Sequence[Any], *, limit: int, looked_at: int) -> tuple[list[str], str | None]:
    found: list[str] = []
    for row in rows:
        if row.matches:
            found.append(row.key)
            if len(found) == limit:
                return found, row.key
    return found, rows[-1].key if len(rows) == looked_at else None
