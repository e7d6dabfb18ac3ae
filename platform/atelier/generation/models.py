"""The verdicts of the scheduled self-check, and tests of providers."""

from typing import Any, cast

from sqlalchemy import Index, Integer, Table
from sqlalchemy.orm import Mapped, mapped_column

from atelier.kernel.columns import Id, JsonDoc, Key, Millis, Serial
from atelier.kernel.database import Base


class VerdictRow(Base):
    """What the doctor found, and when."""

    __tablename__ = "verdicts"

    id: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=True)
    checked_ms: Mapped[int] = mapped_column(Millis, index=True)
    violations: Mapped[int] = mapped_column(Integer)
    warnings: Mapped[int] = mapped_column(Integer)
    findings: Mapped[Any] = mapped_column(JsonDoc)


class ProbeRow(Base):
    """A test of a provider. `due_ms` says when to send it again; NULL once it is over."""

    __tablename__ = "provider_probes"
    __table_args__ = (Index("ix_provider_probes_provider", "provider", "id"),)

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    provider: Mapped[str] = mapped_column(Key(32))
    outcome: Mapped[str | None] = mapped_column(Key(40))
    took_ms: Mapped[int | None] = mapped_column(Millis)
    asked_by: Mapped[str] = mapped_column(Id())
    due_ms: Mapped[int | None] = mapped_column(Millis, index=True)
    created_ms: Mapped[int] = mapped_column(Millis, index=True)
    finished_ms: Mapped[int | None] = mapped_column(Millis)


VERDICTS = cast("Table", VerdictRow.__table__)
PROBES = cast("Table", ProbeRow.__table__)
