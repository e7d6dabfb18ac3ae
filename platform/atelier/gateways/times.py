"""Times as gateways write them: Beijing time, with its offset (WeChat Pay) or without it (Alipay, every bill).

The machine's own time zone never matters; China has had no summer time since 1991.
"""

import re
from datetime import UTC, datetime, timedelta, timezone

from atelier.kernel.clock import SECOND_MS

BEIJING = timezone(timedelta(hours=8))
_PLAIN = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]{1,9})?")


def plain(ms: int) -> str:
    """`2026-01-31 08:00:00` in Beijing."""
    return _beijing(ms).replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")


def from_plain(text: str) -> int:
    """The reverse; fractions of a second are left out. Raises ValueError."""
    found = _PLAIN.fullmatch(text)
    if found is None:
        raise ValueError("no time")
    return _ms(datetime.fromisoformat(f"{found[1]}+08:00"))


def with_offset(ms: int) -> str:
    """`2026-01-31T08:00:00+08:00`."""
    return _beijing(ms).isoformat(timespec="seconds")


def from_offset(text: str) -> int:
    """The reverse, of any offset. Raises ValueError, also where there is none."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("no offset")
    return _ms(found)


def _beijing(ms: int) -> datetime:
    return datetime.fromtimestamp(ms // SECOND_MS, UTC).astimezone(BEIJING)


def _ms(found: datetime) -> int:
    return int(found.timestamp()) * SECOND_MS
