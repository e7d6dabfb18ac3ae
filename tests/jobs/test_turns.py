"""Whatever happens in whatever order: windows and limits hold, and without any sweeper no job is forgotten."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from typing_extensions import override

from atelier.jobs import controls
from atelier.jobs.lane_models import PAUSED, PROVIDER, QUEUE
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from tests.bounds import of_machine
from tests.jobs.floor import PROVIDERS, Floor, limit, reopen
from tests.jobs.lifecycle import Workshop

TEXT = "generation.text"


class Turns(RuleBasedStateMachine):
    """Messages are delivered one by one, in any order; what they bring is compared with a model of who waits."""

    shop: Workshop
    floor: Floor

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[str, tuple[str, str]] = {}
        self.paused: set[tuple[str, str]] = set()
        self.in_flight_max: int | None = None

    @initialize(slots=st.integers(1, 5), window=st.integers(1, 3), users=st.integers(1, 3))
    def begin(self, slots: int, window: int, users: int) -> None:
        self.floor = Floor(self.shop.db, slots=slots, window=window)
        self.users = [self.shop.user() for _ in range(users)]

    @rule(user=st.integers(0, 2), number=st.integers(1, 4), provider=st.sampled_from(PROVIDERS), data=st.data())
    def submit(self, user: int, number: int, provider: str, data: st.DataObject) -> None:
        user_id = self.users[user % len(self.users)]
        priority = data.draw(st.sampled_from(("low", "normal", "high")))
        group = [replace(self.shop.submission(user_id, 0), provider=provider, priority=priority) for _ in range(number)]
        self.shop.submit_all(group)
        self.waiting |= {one.job_id: (user_id, provider) for one in group}

    @rule(number=st.integers(1, 3), data=st.data())
    def deliver(self, number: int, data: st.DataObject) -> None:
        self.floor.relay()
        free = min(number, self.floor.slots - len(self.floor.running), len(self.floor.messages))
        messages: list[str] = []
        for _ in range(max(0, free)):
            index = data.draw(st.integers(0, len(self.floor.messages) - 1))
            messages.append(self.floor.messages[index])
            del self.floor.messages[index]
        if messages:
            self._begun(messages)

    @precondition(lambda self: self.floor.running)
    @rule(data=st.data(), how=st.sampled_from(("complete", "fail", "put back")))
    def end(self, data: st.DataObject, how: str) -> None:
        claimed = self.floor.running[data.draw(st.sampled_from(sorted(self.floor.running)))]
        if how == "put back":
            assert self.floor.put_back(claimed)
            self.waiting[claimed.id] = (claimed.user_id, claimed.provider)
            return
        del self.floor.running[claimed.id]
        assert self.shop.complete(claimed) if how == "complete" else self.shop.fail(claimed)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.waiting)))
        user_id, _ = self.waiting.pop(job_id)
        assert self.shop.cancel(job_id, user_id).done

    @rule(which=st.sampled_from([(QUEUE, TEXT), *((PROVIDER, name) for name in PROVIDERS)]))
    def pause_or_resume(self, which: tuple[str, str]) -> None:
        kind, name = which
        if which in self.paused:
            self._resume(which)
        else:
            self.paused.add(which)
            self.shop.db.transact(controls.hold, kind=kind, name=name, state=PAUSED, reason="test", now_ms=now_ms())

    @rule(most=st.one_of(st.none(), st.integers(1, 2)))
    def limit(self, most: int | None) -> None:
        self.in_flight_max = most
        self.shop.db.transact(
            limit, provider="echo", in_flight_max=most, per_minute=None, burst=1, window=9, now_ms=now_ms()
        )

    @invariant()
    def as_many_as_may_be(self) -> None:
        if hasattr(self, "floor"):
            users = Counter(one.user_id for one in self.floor.running.values())
            assert max(users.values(), default=0) <= self.floor.window

    def _begun(self, messages: list[str]) -> None:
        before = Counter(one.provider for one in self.floor.running.values())
        begun = self.floor.take(*messages)
        assert len(begun) <= len(messages)
        for one in begun:
            assert self.waiting.pop(one.id) == (one.user_id, one.provider)
            assert not {(QUEUE, TEXT), (PROVIDER, one.provider)} & self.paused
        echoes = sum(one.provider == "echo" for one in begun)
        if echoes and self.in_flight_max is not None:
            assert before["echo"] + echoes <= self.in_flight_max

    def _resume(self, which: tuple[str, str]) -> None:
        kind, name = which
        self.paused.discard(which)
        self.shop.db.transact(reopen, kind=kind, name=name, reason=None, window=9, now_ms=now_ms())

    @override
    def teardown(self) -> None:
        if not hasattr(self, "floor"):
            return
        for which in sorted(self.paused):
            self._resume(which)
        while True:
            self.floor.relay()
            free = min(self.floor.slots - len(self.floor.running), len(self.floor.messages))
            if free:
                self._begun([self.floor.messages.popleft() for _ in range(free)])
            elif self.floor.running:
                _, claimed = self.floor.running.popitem()
                assert self.shop.complete(claimed)
            else:
                break
        assert self.waiting == {}, "forgotten without a sweeper"
        assert self.shop.examine().totals == {}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("engine", "number", "steps"), [("sqlite", 15, 40), ("mariadb", 5, 40)], indirect=["engine"])
def test_nobody_is_forgotten(db: Database, restore: Callable[[], None], number: int, steps: int) -> None:
    class Fresh(Turns):
        def __init__(self) -> None:
            super().__init__()
            restore()
            self.shop = Workshop(db)

    run_state_machine_as_test(Fresh, settings=of_machine(number, steps=steps))
