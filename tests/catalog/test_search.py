"""What a search finds, in which order, and what it suggests."""

import pytest

from atelier.catalog import search_terms, service
from atelier.kernel.database import Database
from tests.catalog import market
from tests.catalog.finding import matches, searched, suggested
from tests.catalog.market import NOW, Made, ident


@pytest.mark.parametrize(
    "wildcard", ["%", "_", "%%", "__%", "\\", "/", "*", "' --", "%' --", "。", "🎨", "\x00", "\u200b"]
)
def test_what_is_neither_letter_nor_digit_finds_nothing(db: Database, wildcard: str) -> None:
    db.transact(market.fill, agents=[Made(number=1, name="100% 🎨 \\ %' --"), Made(number=2, description="_ * / 。")])
    assert searched(db, wildcard) == []


@pytest.mark.parametrize("words", ["1%d", "po_ter", "' OR 1=1 --", "post%son", "海%天", "海_报", "*oster", "p?ster"])
def test_no_letter_is_a_wildcard(db: Database, words: str) -> None:
    db.transact(market.fill, agents=[Made(number=1, name="Poster", description="10d"), Made(number=2, name="海外的报")])
    assert searched(db, words) == (["agent-2"] if words == "海_报" else [])


def test_what_separates_words_is_not_looked_at(db: Database) -> None:
    agents = [Made(number=1, description="100% snake_case \\o/ don't; GPT-4o, node.js"), Made(number=2)]
    db.transact(market.fill, agents=agents)
    for words in ("100%", "snake_case", "case snake", "\\o/", "don't", "gpt-4", "GPT 4O", "node.js", "js", '"snake"'):
        assert searched(db, words) == ["agent-1"], words
    assert searched(db, "0% e_c") == []


def test_plus_and_hash_belong_to_the_word_before_them(db: Database) -> None:
    agents = [Made(number=1, name="C++ tutor"), Made(number=2, name="C# tutor"), Made(number=3, name="c tutor #1")]
    db.transact(market.fill, agents=agents)
    assert searched(db, "c++") == ["agent-1"]
    assert searched(db, "C#") == ["agent-2"]
    assert set(searched(db, "c")) == {"agent-1", "agent-2", "agent-3"}
    assert searched(db, "#1") == ["agent-3"]


def test_a_name_weighs_more_than_tags_and_tags_more_than_a_description(db: Database) -> None:
    agents = [
        Made(number=1, description="We paint portraits in oil", counters={"downloads_count": 99}),
        Made(number=2, tags=("Oil painting",), counters={"downloads_count": 9}),
        Made(number=3, name="OIL lamp"),
        Made(number=4, name="Water"),
    ]
    db.transact(market.fill, agents=agents)
    assert searched(db, "oil") == ["agent-3", "agent-2", "agent-1"]
    assert searched(db, "oil paint") == ["agent-2", "agent-1"]
    assert searched(db, "  OIL\tOil ") == ["agent-3", "agent-2", "agent-1"]


def test_one_word_in_a_name_outweighs_all_others_in_descriptions(db: Database) -> None:
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
    agents = [
        Made(number=1, name="One", description=" ".join(words)),
        Made(number=2, tags=tuple(words), description=" ".join(words)),
        Made(number=3, description=" ".join(words), counters={"downloads_count": 99}),
    ]
    db.transact(market.fill, agents=agents)
    assert searched(db, " ".join(words)) == ["agent-1", "agent-2", "agent-3"]


def test_the_agent_with_exactly_this_name_is_first(db: Database) -> None:
    agents = [
        Made(number=1, name="AI 海报"),
        Made(number=2, name="ＡＩ 海报 Pro", tags=("海报",), counters={"downloads_count": 1_000}),
        Made(number=3, name="海报 AI", counters={"downloads_count": 5}),
    ]
    db.transact(market.fill, agents=agents)
    assert searched(db, "ai 海报") == ["agent-1", "agent-2", "agent-3"]
    assert searched(db, "海报 ai") == ["agent-3", "agent-2", "agent-1"]


def test_equal_matches_are_ordered_by_downloads_and_then_the_newest_first(db: Database) -> None:
    counted = [3, 9, 3]
    agents = [Made(number=n, name="Same", counters={"downloads_count": count}) for n, count in enumerate(counted)]
    db.transact(market.fill, agents=agents)
    assert searched(db, "same") == ["agent-1", "agent-2", "agent-0"]


def test_chinese_is_found_by_any_part_and_in_either_width(db: Database) -> None:
    agents = [
        Made(number=1, name="智能海报设计师"),
        Made(number=2, description="帮你做海报，也做ＰＰＴ"),
        Made(number=3, name="音乐"),
    ]
    db.transact(market.fill, agents=agents)
    assert searched(db, "海报") == ["agent-1", "agent-2"]
    assert searched(db, "报设") == ["agent-1"]
    assert searched(db, "海") == ["agent-1", "agent-2"]
    assert searched(db, "师") == searched(db, "能海报设计") == searched(db, "智能海报设计师") == ["agent-1"]
    assert searched(db, "ppt") == searched(db, "ｐｐＴ") == ["agent-2"]
    assert searched(db, "海报 智能") == searched(db, "海报，智能") == ["agent-1"]
    assert searched(db, "报海") == searched(db, "海报设计师工") == []


def test_letters_that_lie_apart_are_no_run(db: Database) -> None:
    """Every pair of the run is there, but not the run."""
    agents = [
        Made(number=1, name="海报设 报设计 海报设"),
        Made(number=2, name="海报设计", description="海报计设"),
        Made(number=3, name="海报设", tags=("报设计",)),
        Made(number=4, name="报设计海报设", description="会做海报设计"),
    ]
    db.transact(market.fill, agents=agents)
    assert searched(db, "海报设计") == ["agent-2", "agent-4"]
    assert searched(db, "海报设计 海报设") == ["agent-2", "agent-4"]


def test_chinese_and_english_are_asked_for_together(db: Database) -> None:
    agents = [
        Made(number=1, name="AI绘画 poster"),
        Made(number=2, name="AI 绘画", description="posters"),
        Made(number=3, name="AI 绘画"),
    ]
    db.transact(market.fill, agents=agents)
    assert searched(db, "ai 绘画 poster") == searched(db, "poster,绘画ai") == ["agent-1", "agent-2"]


def test_english_is_found_by_words_and_their_beginnings(db: Database) -> None:
    agents = [Made(number=1, name="Poster maker"), Made(number=2, name="imposter"), Made(number=3, name="Éclair café")]
    db.transact(market.fill, agents=agents)
    for words in ("poster", "p", "POST", "mak post", "poster maker"):
        assert searched(db, words) == ["agent-1"], words
    assert searched(db, "oster") == searched(db, "posters") == []
    assert searched(db, "e\u0301c") == searched(db, "CAFÉ") == ["agent-3"]
    assert searched(db, "cafe") == []


def test_other_scripts_without_blanks_are_found_by_any_part(db: Database) -> None:
    agents = [
        Made(number=1, name="ポスター制作アプリ"),
        Made(number=2, name="포스터제작기"),
        Made(number=3, name="ออกแบบโปสเตอร์"),
        Made(number=4, name="Рисование плакатов"),
    ]
    db.transact(market.fill, agents=agents)
    assert searched(db, "スター") == searched(db, "ｽﾀｰ") == ["agent-1"]
    assert searched(db, "스터") == ["agent-2"]
    assert searched(db, "แบบ") == ["agent-3"]
    assert searched(db, "ПЛАКАТ") == ["agent-4"]
    assert searched(db, "лакат") == []


def test_only_the_first_letters_of_a_very_long_word_count(db: Database) -> None:
    alike = "x" * search_terms.LETTERS_MAX
    db.transact(market.fill, agents=[Made(number=1, name=alike + "a"), Made(number=2, name=alike[1:])])
    assert searched(db, alike + "b" * 40) == ["agent-1"]
    assert set(searched(db, alike[1:])) == {"agent-1", "agent-2"}


@pytest.mark.parametrize("nothing", ["", " ", "\t\n", "\u3000"])
def test_a_search_without_words_finds_nothing(db: Database, nothing: str) -> None:
    db.transact(market.fill, agents=[Made(number=1)])
    assert searched(db, nothing) == suggested(db, nothing) == []


def test_a_very_long_search_is_cut_and_answered(db: Database) -> None:
    db.transact(market.fill, agents=[Made(number=1, name="Agent " + "x" * 90), Made(number=2, name="海报" * 60)])
    assert searched(db, "x " * 10_000) == ["agent-1"]
    assert searched(db, "海报" * 10_000) == ["agent-2"]
    assert searched(db, "海" + "海报" * 40) == searched(db, "ﷺ" * 10_000) == []


def test_a_search_is_filtered_and_sorted_as_a_list(db: Database) -> None:
    agents = [
        Made(number=1, name="Poster", category="image", price_type="one_time", base_price=9, tags=("Design",)),
        Made(number=2, name="A poster", category="image", price_type="one_time", base_price=30, tags=("design",)),
        Made(number=3, name="Poster", creator_id=ident(77)),
        Made(number=4, description="posters", counters={"rating_avg": 500, "downloads_count": 3}),
    ]
    db.transact(market.fill, agents=agents)
    assert searched(db, "poster") == ["agent-3", "agent-1", "agent-2", "agent-4"]
    assert searched(db, "poster", category="image") == ["agent-1", "agent-2"]
    assert searched(db, "poster", category="nowhere") == []
    assert searched(db, "poster", price_type="free") == ["agent-3", "agent-4"]
    assert searched(db, "poster", tag="ＤＥＳＩＧＮ", sort="price") == ["agent-2", "agent-1"]
    assert searched(db, "poster", creator_id=ident(77)) == ["agent-3"]
    assert searched(db, "poster", category="image", creator_id=ident(77)) == []
    assert searched(db, "poster", sort="price", descending=False) == ["agent-3", "agent-4", "agent-1", "agent-2"]
    assert searched(db, "poster", sort="rating")[0] == searched(db, "poster", sort="downloads")[0] == "agent-4"


def test_an_agent_is_found_as_it_is_now(db: Database) -> None:
    db.transact(market.fill, agents=[Made(number=1, name="Lamp", tags=("light",), description="shines")])
    assert searched(db, "lamp light shines") == ["agent-1"]
    db.transact(service.archive, agent_id=ident(1), now_ms=NOW)
    assert searched(db, "lamp") == suggested(db, "lamp") == []
    db.transact(service.publish, agent_id=ident(1), version=1, now_ms=NOW)
    assert searched(db, "lamp") == ["agent-1"]
    db.transact(service.tag, agent_id=ident(1), tags={"dark": ident(500)})
    db.transact(service.reindex, agent_id=ident(1))
    assert searched(db, "dark") == searched(db, "lamp", tag="dark") == ["agent-1"]
    assert searched(db, "light") == searched(db, "lamp", tag="light") == []


def test_pages_of_a_search_follow_each_other(db: Database) -> None:
    db.transact(market.fill, agents=[Made(number=number, name=f"Same {number % 3}") for number in range(23)])
    for sort in (None, "createdAt", "price"):
        pages = [matches(db, "same", sort=sort, offset=offset, limit=5) for offset in range(0, 30, 5)]
        assert {page.total for page in pages} == {23}
        seen = [agent.id for page in pages for agent in page.agents]
        assert len(seen) == len(set(seen)) == 23


def test_suggestions_begin_alike_in_any_case_and_the_popular_come_first(db: Database) -> None:
    names = ("Poster", "poster maker", "Posts", "A poster", "海报工坊", "做海报", "Post%")
    agents = [Made(number=n, name=name, counters={"downloads_count": n}) for n, name in enumerate(names)]
    tagged = Made(number=30, tags=("Post", "Poster art", "海报"), name="30")
    db.transact(market.fill, agents=[*agents, tagged, Made(number=20, name="Posting", status="review")])
    assert suggested(db, "POSTE") == ["Poster art", "poster maker", "Poster"]
    assert suggested(db, "poster m") == ["poster maker"]
    assert suggested(db, "海") == suggested(db, "海报") == ["海报", "做海报", "海报工坊"]
    assert suggested(db, "post") == ["Post", "Poster art", "Post%", "Posts", "poster maker", "Poster"]
    assert suggested(db, "post%") == ["Post%"]
    assert suggested(db, "zzz") == []


def test_suggestions_are_few_and_no_two_alike(db: Database) -> None:
    agents = [Made(number=n, name=f"Poster {n % 20}", tags=("Poster", f"posters {n}")) for n in range(40)]
    db.transact(market.fill, agents=agents)
    found = suggested(db, "poster")
    assert len(found) == len({name.casefold() for name in found}) == 10
    assert found[0] == "Poster"
    assert sum(name.startswith("posters") for name in found) == 2
