"""Alembic's entry: one history for SQLite, MariaDB and MySQL."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import BigInteger, String, Text, Unicode

from atelier.kernel import engines
from atelier.kernel.columns import JsonDoc
from atelier.kernel.database import Base
from atelier.migrations import tables


def render_type(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Write our column types by their own names, which keeps a version readable."""
    name = _type_name(item) if kind == "type" else None
    if name is None:
        return False
    autogen.imports.add("from atelier.kernel import columns")
    return f"columns.{name}"


def _type_name(item: Any) -> str | None:
    if isinstance(item, JsonDoc):
        return "JsonDoc()"
    if isinstance(item, BigInteger):
        return "Serial" if _varies(item) else "Millis"
    if isinstance(item, Unicode):
        return f"Name({item.length})"
    if isinstance(item, Text):
        return "LongText()"
    return f"Key({item.length})" if isinstance(item, String) and _varies(item) else None


def _varies(item: Any) -> bool:
    return bool(item._variant_mapping)  # noqa: SLF001 - a type shows its variants nowhere else


assert len(tables.ALL), "importing the tables fills the metadata"
writer, reader = engines.create(context.config.attributes["address"], pool_size=1)
with writer.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        compare_type=True,
        render_item=render_type,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
writer.dispose()
reader.dispose()
