"""Rolling up what has happened."""

from atelier.analytics import rolling
from atelier.contracts.messages import Tick
from atelier.kernel.clock import HOUR_MS
from tasks import runtime


def roll(_tick: Tick) -> None:
    """Roll up every hour that is over."""
    rolling.roll(runtime.get().database, utc_offset_ms=runtime.get().settings.utc_offset_hours * HOUR_MS)


def verify(_tick: Tick) -> None:
    """Count the hours again to which something came late."""
    rolling.verify(runtime.get().database, utc_offset_ms=runtime.get().settings.utc_offset_hours * HOUR_MS)
