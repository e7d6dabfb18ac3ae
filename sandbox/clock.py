"""The sandbox's clock. It can be set ahead or back, so that what happens tomorrow is seen without waiting."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Final

BEIJING: Final = timezone(timedelta(hours=8))
SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS


class Clock:
    """Milliseconds since the epoch. Trades go by `now_ms`; signatures by `wire_ms`, or nobody would take them."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    @property
    def wire_ms(self) -> int:
        """The time of the machine."""
        return int(datetime.now(UTC).timestamp() * 1000)

    @property
    def now_ms(self) -> int:
        """The time in the sandbox."""
        return self.wire_ms + self.ahead_ms

    @property
    def today(self) -> str:
        """The day in Beijing, `2026-01-31`."""
        return beijing(self.now_ms)[:10]


def beijing(ms: int) -> str:
    """`2026-01-31 08:00:00`, as Alipay writes it and as both write it in bills."""
    return datetime.fromtimestamp(ms / 1000, BEIJING).strftime("%Y-%m-%d %H:%M:%S")


def rfc3339(ms: int) -> str:
    """`2026-01-31T08:00:00+08:00`, as WeChat Pay writes it."""
    return datetime.fromtimestamp(ms / 1000, BEIJING).isoformat(timespec="seconds")


def from_beijing(text: str) -> int:
    """The milliseconds of `2026-01-31 08:00:00`. Raises ValueError."""
    return int(datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=BEIJING).timestamp() * 1000)


def from_rfc3339(text: str) -> int:
    """The milliseconds of a time with its zone. Raises ValueError."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("no zone")
    return int(found.timestamp() * 1000)


def day_of(text: str) -> tuple[int, int]:
    """When a day (`2026-01-31`) begins in Beijing, and when the next one does. Raises ValueError."""
    if len(text) != 10:
        raise ValueError("no day")
    begin = from_beijing(f"{text} 00:00:00")
    return begin, begin + DAY_MS
