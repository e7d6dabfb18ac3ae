"""The verdicts of the scheduled self-check."""

from typing import Any, cast

from sqlalchemy import Integer, Table
from sqlalchemy.orm import Mapped, mapped_column

from atelier.kernel.columns import JsonDoc, Millis, Serial
from atelier.kernel.database import Base


class VerdictRow(Base):
    """What the doctor found, and when."""

    __tablename__ = "verdicts"

    id: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=True)
    checked_ms: Mapped[int] = mapped_column(Millis, index=True)
    violations: Mapped[int] = mapped_column(Integer)
    warnings: Mapped[int] = mapped_column(Integer)
    findings: Mapped[Any] = mapped_column(JsonDoc)


VERDICTS = cast("Table", VerdictRow.__table__)
