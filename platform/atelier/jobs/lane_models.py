"""Who waits where, and what is held back: lanes of waiting jobs, and what operators and providers allow."""

from typing import cast

from sqlalchemy import CheckConstraint, Index, Integer, Table, text
from sqlalchemy.orm import Mapped, mapped_column

from atelier.kernel.columns import Id, Key, Millis, Name
from atelier.kernel.database import Base

ZERO = text("0")
ONE = text("1")
QUEUE = "queue"
PROVIDER = "provider"
OPEN = "open"
PAUSED = "paused"
DRAINING = "draining"


class LaneRow(Base):
    """One user's jobs of one provider in one queue.

    turn_ms  when it was last served: the lane that waits longest is next
    open     whether it is worth a look: 0 when nothing is due in it, or its user has as many jobs running as may be
    owed     invitations were dropped because of it: whoever frees a place of its user sends a new one
    """

    __tablename__ = "lanes"
    __table_args__ = (Index("ix_lanes_turn", "queue", "open", "provider", "turn_ms", "user_id"),)

    queue: Mapped[str] = mapped_column(Key(32), primary_key=True)
    user_id: Mapped[str] = mapped_column(Id(), primary_key=True)
    provider: Mapped[str] = mapped_column(Key(32), primary_key=True)
    turn_ms: Mapped[int] = mapped_column(Millis, server_default=ZERO)
    open: Mapped[int] = mapped_column(Integer, server_default=ONE)
    owed: Mapped[int] = mapped_column(Integer, server_default=ZERO)


class ControlRow(Base):
    """What holds a queue or a provider back. No row: nothing does.

    state          open; paused: nothing starts; draining: nothing new is accepted
    in_flight_max  jobs of a provider that may run at once; NULL: any number
    per_minute     jobs of a provider that may start in a minute, `burst` of them at once; NULL: any number
    paced_ms       until when the starts so far use up that rate
    failures       of a provider, one after the other; from a number on, one job at a time tries it
    closed_ms      nothing of the provider starts before, because of `closed_code`
    owed           invitations were dropped because of it
    invited_ms     for when one was sent last
    """

    __tablename__ = "controls"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'paused', 'draining')", name="state"),
        CheckConstraint("in_flight_max > 0 AND per_minute > 0 AND burst > 0", name="limits"),
    )

    kind: Mapped[str] = mapped_column(Key(8), primary_key=True)
    name: Mapped[str] = mapped_column(Key(32), primary_key=True)
    state: Mapped[str] = mapped_column(Key(10), server_default=text("'open'"))
    reason: Mapped[str | None] = mapped_column(Name(300))
    changed_ms: Mapped[int] = mapped_column(Millis, server_default=ZERO)
    in_flight_max: Mapped[int | None] = mapped_column(Integer)
    per_minute: Mapped[int | None] = mapped_column(Integer)
    burst: Mapped[int] = mapped_column(Integer, server_default=ONE)
    paced_ms: Mapped[int] = mapped_column(Millis, server_default=ZERO)
    failures: Mapped[int] = mapped_column(Integer, server_default=ZERO)
    closed_ms: Mapped[int] = mapped_column(Millis, server_default=ZERO)
    closed_code: Mapped[str | None] = mapped_column(Key(40))
    owed: Mapped[int] = mapped_column(Integer, server_default=ZERO)
    invited_ms: Mapped[int] = mapped_column(Millis, server_default=ZERO)


LANES = cast("Table", LaneRow.__table__)
CONTROLS = cast("Table", ControlRow.__table__)
