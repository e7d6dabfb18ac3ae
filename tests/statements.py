"""Statements that are compiled once for all databases of a test process.

Every test has engines of its own, and an engine compiles for itself whatever it is asked. What comes out is the same
for all engines of one kind of database; to make it again for each test took a sixth of the suite's time.
"""

from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.util import LRUCache
from typing_extensions import override

STATEMENTS_MAX = 3_000


class _Shared(LRUCache[Any, Any]):
    """Finds what an engine of the same kind has compiled: the first part of a key is the engine's dialect."""

    @override
    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(_of_its_kind(key), default)

    @override
    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(_of_its_kind(key), value)


def share() -> None:
    """From now on, and for every engine."""
    shared = _Shared(STATEMENTS_MAX)

    @event.listens_for(Engine, "engine_connect")
    def connected(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        connection.execution_options(compiled_cache=shared)


def _of_its_kind(key: tuple[Any, ...]) -> tuple[Any, ...]:
    dialect, *others = key
    return (dialect.name, getattr(dialect, "is_mariadb", None), dialect.server_version_info, *others)
