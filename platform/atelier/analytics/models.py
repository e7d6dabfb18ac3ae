"""Roll-ups: what happened in each hour, which hours are done, and who was there on each day."""

from typing import cast

from sqlalchemy import Table
from sqlalchemy.orm import Mapped, mapped_column

from atelier.kernel.columns import Id, Key, Millis
from atelier.kernel.database import Base


class RollupRow(Base):
    """One number of one hour. Every number is a sum, so longer spans are sums of hours."""

    __tablename__ = "rollups"

    metric: Mapped[str] = mapped_column(Key(24), primary_key=True)
    slot_ms: Mapped[int] = mapped_column(Millis, primary_key=True, autoincrement=False)
    dimension: Mapped[str] = mapped_column(Key(64), primary_key=True)
    value: Mapped[int] = mapped_column(Millis)


class RolledSlot(Base):
    """An hour that was rolled up. `checksum` is made of what its rows add up to, to notice what came late."""

    __tablename__ = "rolled_slots"

    slot_ms: Mapped[int] = mapped_column(Millis, primary_key=True, autoincrement=False)
    checksum: Mapped[str] = mapped_column(Key(64))
    rolled_ms: Mapped[int] = mapped_column(Millis)


class ActiveUser(Base):
    """Someone did something on this day, which begins at `day_ms` in the operator's time zone."""

    __tablename__ = "active_users"

    day_ms: Mapped[int] = mapped_column(Millis, primary_key=True, autoincrement=False)
    user_id: Mapped[str] = mapped_column(Id(), primary_key=True)


ROLLUPS = cast("Table", RollupRow.__table__)
ROLLED = cast("Table", RolledSlot.__table__)
ACTIVE = cast("Table", ActiveUser.__table__)
