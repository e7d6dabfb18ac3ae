"""The days of gateways' books: dates in Beijing, `YYYY-MM-DD`, wherever this platform runs."""

from datetime import UTC, datetime, timedelta, timezone

from atelier.kernel.clock import DAY_MS, SECOND_MS

BEIJING = timezone(timedelta(hours=8))


def day_of(ms: int) -> str:
    """The day of a moment."""
    return datetime.fromtimestamp(ms // SECOND_MS, UTC).astimezone(BEIJING).date().isoformat()


def begin_ms(day: str) -> int:
    """When a day begins."""
    return int(datetime.fromisoformat(day).replace(tzinfo=BEIJING).timestamp()) * SECOND_MS


def shifted(day: str, number: int) -> str:
    """So many days after it, or before it."""
    return day_of(begin_ms(day) + number * DAY_MS)
