"""Values that are read again when they are too old: one read at a time per key, a bounded number of keys."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

V = TypeVar("V")


class Known(NamedTuple, Generic[V]):
    """A value that is there, so that a None among the values is told from none."""

    value: V


class Fresh(Generic[V]):
    """`await fresh.get(key)` is at most `seconds` old, or as new as the read that it waited for."""

    def __init__(self, load: Callable[[str], Awaitable[V]], *, seconds: float, keys_max: int = 10_000) -> None:
        self._load = load
        self._seconds = seconds
        self._keys_max = keys_max
        self._values: OrderedDict[str, tuple[float, Known[V]]] = OrderedDict()
        self._reads: dict[str, asyncio.Task[V]] = {}

    def peek(self, key: str) -> Known[V] | None:
        """The value without waiting, at most twice as old; an old one is read again in the background."""
        kept = self._values.get(key)
        if kept is None:
            return None
        age = time.monotonic() - kept[0]
        if age >= 2 * self._seconds:
            return None
        if age >= self._seconds:
            _ = self._reading(key)
        return kept[1]

    async def get(self, key: str) -> V:
        """The value. Raises what the read raised; a read that failed is not remembered."""
        kept = self._values.get(key)
        if kept is not None and time.monotonic() - kept[0] < self._seconds:
            return kept[1].value
        # Others wait for the same read: a caller that goes away must not end it.
        return await asyncio.shield(self._reading(key))

    def _reading(self, key: str) -> "asyncio.Task[V]":
        read = self._reads.get(key)
        if read is None:
            read = self._reads[key] = asyncio.create_task(self._read(key))
            read.add_done_callback(lambda done: self._done(key, done))
        return read

    async def _read(self, key: str) -> V:
        began = time.monotonic()
        value = await self._load(key)
        self._values.pop(key, None)
        while len(self._values) >= self._keys_max:
            self._values.popitem(last=False)
        self._values[key] = (began, Known(value))
        return value

    def _done(self, key: str, read: "asyncio.Task[V]") -> None:
        del self._reads[key]
        if not read.cancelled():
            read.exception()  # Marks it as seen: whoever waited has it, and a background read has nobody.
