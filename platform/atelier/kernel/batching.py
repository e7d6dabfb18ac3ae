"""Group commit for threads: calls that come together are done together, one that comes alone does not wait.

A caller that finds nobody at work leads: it takes everything that waits, its own call included, and does it with one
call of `work`. Whoever came meanwhile finds a result, or is told to lead the next group. Where a call costs far more
than an item, that next leader lets as much time pass as the group before it took, `gather_seconds` at most, for others
to join: there is traffic, and it came second.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

GROUP_MAX = 48
GATHER_SECONDS = 0.05
"""The bound for a group that is one transaction: a slow database must not make every wait long."""


class _Lead:
    """The promise that the waiting caller is now the leader."""


class Batcher(Generic[T, R]):
    """Turns `work(items) -> one result or error per item` into `call(item) -> result`, for any number of threads."""

    def __init__(
        self,
        work: Callable[[Sequence[T]], Sequence[R | Exception]],
        *,
        group_max: int = GROUP_MAX,
        gather_seconds: float = 0.0,
    ) -> None:
        self._work = work
        self._gather_seconds = gather_seconds
        self._group_max = group_max
        self._guard = threading.Lock()
        self._waiting: list[tuple[T, Future[R | _Lead]]] = []
        self._led = False
        self._last_seconds = 0.0

    @property
    def waiting(self) -> int:
        """How many calls wait for the next group."""
        return len(self._waiting)

    def call(self, item: T) -> R:
        """The result for `item`; raises its error, or the one that `work` raised for the whole group."""
        ticket: Future[R | _Lead] = Future()
        with self._guard:
            self._waiting.append((item, ticket))
            leads, self._led = not self._led, True
        if not leads:
            outcome = ticket.result()
            if not isinstance(outcome, _Lead):
                return outcome
            time.sleep(min(self._last_seconds, self._gather_seconds))
        group = self._next_group(ticket)
        try:
            return self._carry_out(group, ticket)
        finally:
            self._hand_over()

    def _next_group(self, mine: "Future[R | _Lead]") -> "list[tuple[T, Future[R | _Lead]]]":
        with self._guard:
            group = self._waiting[: self._group_max]
            del self._waiting[: self._group_max]
        assert any(ticket is mine for _, ticket in group), "the leader is the oldest that waits"
        return group

    def _carry_out(self, group: "list[tuple[T, Future[R | _Lead]]]", mine: "Future[R | _Lead]") -> R:
        began = time.monotonic()
        try:
            results: Sequence[R | BaseException] = self._work([item for item, _ in group])
        except BaseException as error:  # noqa: BLE001 - each of the group is told, and the leader raises its own
            results = [error] * len(group)
        self._last_seconds = time.monotonic() - began
        own: R | BaseException | None = None
        for (_, ticket), result in zip(group, results, strict=True):
            if ticket is mine:
                own = result
            elif isinstance(result, BaseException):
                ticket.set_exception(result)
            else:
                ticket.set_result(result)
        if isinstance(own, BaseException):
            raise own
        return own  # type: ignore[return-value]  # the leader's own ticket is in its group

    def _hand_over(self) -> None:
        with self._guard:
            if not self._waiting:
                self._led = False
                return
            # A promoted caller still has its item in the line: it takes it with the next group.
            _, ticket = self._waiting[0]
        ticket.set_result(_Lead())
