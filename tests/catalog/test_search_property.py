"""Whatever is published and whatever is asked: the index finds what reading every text finds, in the same order."""

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from atelier.catalog import search_order, search_query, service
from atelier.kernel.database import Database
from tests.bounds import examples
from tests.catalog import market, plain_search
from tests.catalog.finding import matches
from tests.catalog.market import NOW, Made, ident

LETTERS = "aabbce1é海报设计计画 　,，%_+#ＡB"
text = st.text(alphabet=LETTERS, min_size=0, max_size=14)
name = st.text(alphabet=LETTERS, min_size=1, max_size=8)
longer = st.text(alphabet="海报设计 ab", min_size=3, max_size=40)
question = st.one_of(text, longer, name, st.lists(name, min_size=2, max_size=4).map(" ".join))


def asked(db: Database, words: str) -> list[str]:
    found = matches(db, words)
    assert found.total == len(found.agents)
    return [agent.slug for agent in found.agents]


def agents(count: int, seed: int) -> list[Made]:
    chance = random.Random(seed)

    def some(least: int, most: int) -> str:
        return "".join(chance.choices(LETTERS, k=chance.randint(least, most)))

    return [
        Made(
            number=number,
            name=some(1, 8),
            description=some(0, 40),
            tags=tuple({tag.strip().casefold(): tag for tag in (some(1, 4) for _ in range(3)) if tag.strip()}.values()),
            counters={"downloads_count": chance.choice((0, 0, 1, 2, 9_000))},
        )
        for number in range(count)
    ]


def test_the_index_finds_what_reading_finds(db: Database) -> None:
    made = agents(45, seed=11)
    db.transact(market.fill, agents=made)

    @settings(max_examples=examples(50))
    @given(question)
    def compare(words: str) -> None:
        assert asked(db, words) == plain_search.found(made, words[: search_query.QUERY_MAX])

    compare()


def test_parts_of_what_is_there_are_found(db: Database) -> None:
    made = agents(30, seed=12)
    db.transact(market.fill, agents=made)
    texts = [each for one in made for each in (one.name, one.description, *one.tags) if len(each) > 1]

    @settings(max_examples=examples(30))
    @given(st.sampled_from(texts), st.integers(0, 40), st.integers(1, 12))
    def compare(whole: str, start: int, length: int) -> None:
        words = whole[start % len(whole) :][:length]
        assert asked(db, words) == plain_search.found(made, words)

    compare()


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("tied_max", [0, 3, 30])
def test_the_first_by_their_digits_are_the_first(tied_max: int, descending: bool) -> None:  # noqa: FBT001
    @given(st.lists(st.integers(0, 40), max_size=40), st.integers(1, 20))
    def compare(values: list[int], count: int) -> None:
        scale = [sum(1 << n for n, value in enumerate(values) if value >> digit & 1) for digit in range(5, -1, -1)]
        bits = (1 << len(values)) - 1
        chosen = search_order.top(bits, count, scale=scale, descending=descending, tied_max=tied_max)
        numbers = sorted(range(len(values)), key=lambda n: (values[n], n), reverse=descending)
        first = {n for n in range(len(values)) if chosen >> n & 1}
        assert set(numbers[:count]) <= first
        assert len(first) <= max(0, min(len(values), count + tied_max))

    compare()


class Publishing(RuleBasedStateMachine):
    """Agents come, change and go, one transaction at a time."""

    def __init__(self, db: Database) -> None:
        super().__init__()
        self.db = db
        self.db.transact(market.fill, agents=[])
        self.made: dict[int, Made] = {}
        self.next = 0

    @rule(name=name, description=text, tag=name.filter(str.strip))
    def publish(self, name: str, description: str, tag: str) -> None:
        made = Made(number=self.next, name=name, description=description, tags=(tag,))
        self.next += 1
        self.db.transact(market.fill, agents=[made])
        self.made[made.number] = made

    @precondition(lambda self: bool(self.made))
    @rule(data=st.data())
    def archive(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.made)))
        self.db.transact(service.archive, agent_id=ident(number), now_ms=NOW)
        del self.made[number]

    @precondition(lambda self: bool(self.made))
    @rule(data=st.data(), tag=name.filter(str.strip))
    def tag(self, data: st.DataObject, tag: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.made)))
        self.db.transact(service.tag, agent_id=ident(number), tags={tag: ident(0x9000 + self.next)})
        self.db.transact(service.reindex, agent_id=ident(number))
        self.next += 1
        one = self.made[number]
        self.made[number] = Made(number=number, name=one.name, description=one.description, tags=(tag,))

    @invariant()
    def what_is_found_is_what_is_there(self) -> None:
        for words in ("a", "海", "海报", "报设计", "b 计", "a+"):
            assert set(asked(self.db, words)) == set(plain_search.found(list(self.made.values()), words))


def test_the_index_follows_what_is_published(db: Database, restore: Callable[[], None]) -> None:
    class OnThisDatabase(Publishing):
        def __init__(self) -> None:
            restore()
            super().__init__(db)

    health = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(
        OnThisDatabase,
        settings=settings(max_examples=examples(4), stateful_step_count=10, suppress_health_check=health),
    )
