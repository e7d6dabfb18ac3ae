"""Time in whole milliseconds since the epoch, UTC.

The process clock is read only at the edges and passed down as `now_ms`; leases and due times are judged by the
database's clock, because the clocks of two workers may differ by hours.
"""

import time
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


def now_ms() -> int:
    """This process's clock."""
    return time.time_ns() // 1_000_000


def rfc3339(ms: int | None) -> str | None:
    """`2026-01-31T08:00:00.000Z`, or None for None."""
    if ms is None:
        return None
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class db_now_ms(FunctionElement[int]):  # noqa: N801 - used as an SQL function, in the manner of sqlalchemy.func
    """The database's clock in milliseconds, as an SQL expression."""

    type = BigInteger()
    inherit_cache = True


@compiles(db_now_ms, "sqlite")
def _sqlite(_element: db_now_ms, _compiler: SQLCompiler, **_kw: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


@compiles(db_now_ms)
def _mysql(_element: db_now_ms, _compiler: SQLCompiler, **_kw: Any) -> str:
    return "CAST(ROUND(UNIX_TIMESTAMP(NOW(3)) * 1000) AS SIGNED)"
