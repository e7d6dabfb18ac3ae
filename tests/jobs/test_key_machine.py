"""Any order of what owners, keys and workers do: a key's counters are what a model of one page says."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, rule, run_state_machine_as_test
from typing_extensions import override

from atelier.accounts.api_keys import NewKey
from atelier.accounts.errors import KeyCreditsExhausted, KeyEnded, KeyLimitTooLow
from atelier.generation.submit import Accepted
from atelier.jobs.service import Claimed
from atelier.kernel.database import Database
from atelier.kernel.errors import Unauthorized
from tests.bounds import of_machine
from tests.jobs import keys
from tests.jobs.lifecycle import Workshop

limits = st.none() | st.integers(0, 40)
prices = st.integers(0, 15)


@dataclass
class Key:
    made: NewKey
    limit: int | None
    revoked: bool = False
    held: int = 0
    used: int = 0
    jobs: dict[str, int] = field(default_factory=dict[str, int])

    def judge(self, price: int) -> type[object]:
        if self.revoked:
            return Unauthorized
        too_much = self.limit is not None and self.held + self.used + price > self.limit
        return KeyCreditsExhausted if too_much else Accepted


class Spending(RuleBasedStateMachine):
    """One user who can pay for everything, so that only the keys say no."""

    shop: Workshop
    made = Bundle("made")
    jobs = Bundle("jobs")

    @initialize(target=made, limit=limits)
    def begin(self, limit: int | None) -> str:
        self.user_id = self.shop.user(credits=1_000_000)
        self.keys: dict[str, Key] = {}
        return self.key(limit)

    def key(self, limit: int | None) -> str:
        made = keys.make(self.shop.db, self.user_id, limit=limit)
        self.keys[made.id] = Key(made, limit)
        return made.id

    @rule(target=made, limit=limits)
    def another(self, limit: int | None) -> str:
        return self.key(limit)

    @rule(target=jobs, asked=st.lists(st.tuples(st.none() | made, prices), min_size=1, max_size=6))
    def submit(self, asked: list[tuple[str | None, int]]) -> object:
        group = [self.shop.submission(self.user_id, price, key_id=key_id) for key_id, price in asked]
        taken: list[tuple[str | None, str]] = []
        for one, outcome in zip(group, self.shop.submit_all(group), strict=True):
            key = self.keys[one.key_id] if one.key_id else None
            assert type(outcome) is (key.judge(one.price) if key else Accepted)
            if isinstance(outcome, Accepted):
                taken.append((one.key_id, one.job_id))
                if key:
                    key.held += one.price
                    key.jobs[one.job_id] = one.price
        return multiple(*taken)

    @rule(job=jobs, part=prices, well=st.booleans())
    def end(self, job: tuple[str | None, str], part: int, well: bool) -> None:  # noqa: FBT001 - hypothesis calls by name
        for claimed in self.shop.claim(job[1]):
            used = self._settled(claimed, part=part, well=well)
            self._ended(job, used=used)

    def _settled(self, claimed: Claimed, *, part: int, well: bool) -> int:
        used = min(part, claimed.held) if well else 0
        assert self.shop.complete(claimed, used=used) if well else self.shop.fail(claimed)
        return used

    @rule(job=jobs)
    def cancel(self, job: tuple[str | None, str]) -> None:
        if self.shop.job(job[1])["state"] == "pending":
            assert self.shop.cancel(job[1], self.user_id).done
            self._ended(job, used=0)

    def _ended(self, job: tuple[str | None, str], *, used: int) -> None:
        if job[0]:
            key = self.keys[job[0]]
            key.held -= key.jobs.pop(job[1])
            key.used += used

    @rule(key_id=made, limit=limits)
    def change(self, key_id: str, limit: int | None) -> None:
        key = self.keys[key_id]
        too_low = limit is not None and limit < key.held + key.used
        if too_low or key.revoked:
            with pytest.raises(KeyLimitTooLow if too_low else KeyEnded):
                keys.change(self.shop.db, key.made, credit_limit=limit)
        else:
            keys.change(self.shop.db, key.made, credit_limit=limit)
            key.limit = limit

    @rule(key_id=made)
    def revoke(self, key_id: str) -> None:
        keys.revoke(self.shop.db, self.keys[key_id].made)
        self.keys[key_id].revoked = True

    @override
    def teardown(self) -> None:
        for key in getattr(self, "keys", {}).values():
            shown = keys.read(self.shop.db, key.made)
            assert (shown.credits_held, shown.credits_used) == (key.held, key.used)
            assert shown.credit_limit == key.limit
        assert not self.shop.examine().findings


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("engine", "number", "steps"), [("sqlite", 12, 30), ("mariadb", 5, 30)], indirect=["engine"])
def test_keys_agree_with_the_model(db: Database, restore: Callable[[], None], number: int, steps: int) -> None:
    class Fresh(Spending):
        def __init__(self) -> None:
            super().__init__()
            restore()
            self.shop = Workshop(db)

    run_state_machine_as_test(Fresh, settings=of_machine(number, steps=steps))
