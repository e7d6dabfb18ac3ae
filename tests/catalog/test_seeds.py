"""Seeding a marketplace, once, again, and from two processes at once."""

import threading
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atelier.catalog import listing, queries, search, seed_content, seeds, service
from atelier.catalog.listing import Filter, Matches
from atelier.catalog.models import AGENT_TAGS, AGENTS, CATEGORIES, DESCRIPTION_MAX, TAGS, VERSIONS
from atelier.catalog.search_documents import TAG_MAX
from atelier.catalog.search_models import DOCUMENTS, POSTINGS
from atelier.catalog.seed_content import SeedAgent
from atelier.contracts.queues import WORKFLOW
from atelier.generation.story import WORKFLOWS
from atelier.kernel.database import Database
from atelier.kernel.errors import Invalid
from atelier.providers.registry import ProviderOptions, build_registry
from web.schemas.agent_body import TAGS_PER_AGENT

NOW = 1_760_000_000_000
LOCAL = {"outline-writer", "poster-maker", "soundscape", "clip-maker", "story-video"}


def everything(session: Session) -> dict[str, list[Any]]:
    tables = (AGENTS, CATEGORIES, VERSIONS, DOCUMENTS, POSTINGS, TAGS, AGENT_TAGS)
    return {
        table.name: sorted(tuple(map(str, row)) for row in session.connection().execute(select(table)))
        for table in tables
    }


def published(session: Session) -> set[str]:
    return set(session.connection().scalars(select(AGENTS.c.slug).where(AGENTS.c.status == "published")))


def searched(db: Database, words: str) -> Matches:
    return db.read(listing.search_page, wanted=Filter(search=words), sort=None, descending=True, offset=0, limit=10)


def count(session: Session, table: Any) -> int:
    return session.connection().scalar(select(func.count()).select_from(table)) or 0


def test_development_has_echo_and_production_has_not(db: Database) -> None:
    db.transact(seeds.seed, now_ms=NOW, development=False)
    assert db.read(published) == LOCAL
    db.transact(seeds.seed, now_ms=NOW, development=True)
    assert db.read(published) == LOCAL | {"echo"}
    db.transact(seeds.seed, now_ms=NOW, development=False)
    assert db.read(published) == LOCAL
    echo = db.read(queries.runnable, agent_id=seed_content.ECHO.id)
    assert echo is not None
    assert echo.status == "archived"


def test_seeding_again_changes_nothing(db: Database) -> None:
    db.transact(seeds.seed, now_ms=NOW, development=True)
    before = db.read(everything)
    db.transact(seeds.seed, now_ms=NOW + 1_000, development=True)
    assert db.read(everything) == before


def test_the_seeded_agents_are_what_the_product_promises(db: Database) -> None:
    db.transact(seeds.seed, now_ms=NOW, development=True)
    kinds: dict[str, str] = {}
    prices: list[int | None] = []
    for seed in (*seed_content.AGENTS, seed_content.ECHO):
        agent = db.read(queries.runnable, agent_id=seed.id)
        assert agent is not None
        assert (agent.version, agent.price_type, agent.prompt_template) == (1, "pay_per_use", "{{prompt}}")
        kinds[agent.slug] = agent.kind
        prices.append(agent.credits_per_use)
    assert kinds == {
        "outline-writer": "text",
        "poster-maker": "image",
        "soundscape": "audio",
        "clip-maker": "video",
        "story-video": "video",
        "echo": "text",
    }
    assert prices[-1] == 1
    assert len(set(prices)) == len(prices)


def test_every_seeded_agent_names_a_provider_that_is_there_without_any_key() -> None:
    production = build_registry(ProviderOptions())
    assert {seed.provider for seed in seed_content.AGENTS} <= production.keys() | {WORKFLOW}
    assert {seed.model for seed in seed_content.AGENTS if seed.provider == WORKFLOW} == WORKFLOWS.keys()
    assert seed_content.ECHO.provider not in production
    assert seed_content.ECHO.provider in build_registry(ProviderOptions(development=True))


def test_changed_content_makes_a_new_version_and_the_old_one_stays(db: Database) -> None:
    db.transact(seeds.seed, now_ms=NOW, development=True)
    poster = seed_content.AGENTS[1]
    dearer = replace(poster.content, credits_per_use=7)

    def change(session: Session) -> int:
        number = service.add_version(session, agent_id=poster.id, content=dearer, now_ms=NOW + 5)
        service.publish(session, agent_id=poster.id, version=number, now_ms=NOW + 5)
        return number

    assert db.transact(change) == 2
    assert db.transact(change) == 2
    live = db.read(queries.runnable, agent_id=poster.id)
    old = db.read(queries.version, agent_id=poster.id, version=1)
    assert live is not None
    assert old is not None
    assert (live.version, live.credits_per_use) == (2, 7)
    assert (old.version, old.credits_per_use) == (1, 5)
    assert db.read(queries.version, agent_id=poster.id, version=3) is None

    db.transact(seeds.seed, now_ms=NOW + 9, development=True)
    again = db.read(queries.runnable, agent_id=poster.id)
    assert again is not None
    assert (again.version, again.credits_per_use) == (3, 5)


def test_a_changed_page_is_shown_and_found(db: Database) -> None:
    db.transact(seeds.seed, now_ms=NOW, development=True)
    poster = seed_content.AGENTS[1]
    other = replace(poster.shown, name="Plakat 工坊")

    def rename(session: Session) -> bool:
        changed = service.show(session, agent_id=poster.id, shown=other, now_ms=NOW + 1)
        service.reindex(session, agent_id=poster.id)
        return changed

    assert db.transact(rename) is True
    assert db.transact(rename) is False
    (found,) = searched(db, "plakat").agents
    assert (found.name, found.updated_ms) == ("Plakat 工坊", NOW + 1)
    db.transact(seeds.seed, now_ms=NOW + 2, development=True)
    assert searched(db, "plakat").agents == []


# Whole words, how they begin, and what a reader of either language would type.
FINDS = {
    "outline-writer": ("提纲", "写作", "演讲", "outline", "outl", "Writing", "OUTLINE course", "提纲 talk"),
    "poster-maker": ("海报", "封面", "图案", "poster", "post", "Design", "cover", "海报 poster"),
    "soundscape": ("音乐", "背景音乐", "播客", "sound", "soun", "music", "mus", "podcasts", "音乐 tempo"),
    "clip-maker": ("短片", "短视频", "片头", "video", "vid", "clip", "cli", "Video clip", "短片 mp4"),
    "echo": ("回声", "测试", "test", "prompt back"),
}


@pytest.mark.parametrize(("slug", "words"), FINDS.items())
def test_the_houses_agents_are_found_in_either_language(db: Database, slug: str, words: tuple[str, ...]) -> None:
    db.transact(seeds.seed, now_ms=NOW, development=True)
    for one in words:
        found = searched(db, one).agents
        assert found, one
        assert found[0].slug == slug, one
    local = LOCAL | {"echo"}
    assert {agent.slug for agent in searched(db, "local").agents} == local
    assert {agent.slug for agent in searched(db, "本地运行").agents} == local


def test_an_older_page_gets_its_english_words_when_it_is_seeded_again(db: Database) -> None:
    db.transact(seeds.seed, now_ms=NOW, development=True)
    poster = seed_content.AGENTS[1]
    older = replace(poster.shown, description="根据一句描述绘制海报。")

    def as_it_was(session: Session) -> None:
        service.show(session, agent_id=poster.id, shown=older, now_ms=NOW)
        service.tag(session, agent_id=poster.id, tags={"海报": poster.tags["海报"]})
        service.reindex(session, agent_id=poster.id)

    db.transact(as_it_was)
    assert searched(db, "poster").agents == []
    db.transact(seeds.seed, now_ms=NOW + 1, development=True)
    (found,) = searched(db, "poster").agents
    assert (found.description, [tag.name for tag in found.tags]) == (poster.description, list(poster.tags))


@pytest.mark.parametrize("seed", [*seed_content.AGENTS, seed_content.ECHO], ids=lambda seed: seed.slug)
def test_the_houses_agents_keep_to_the_rules_for_everybody(seed: SeedAgent) -> None:
    assert 10 <= len(seed.description) <= DESCRIPTION_MAX
    assert "\n" not in seed.description
    assert len(seed.tags) <= TAGS_PER_AGENT
    assert all(0 < len(tag) <= TAG_MAX for tag in seed.tags)
    assert len({search.fold(tag) for tag in seed.tags}) == len(seed.tags)


def test_no_two_tags_share_an_id() -> None:
    ids: dict[str, set[str]] = {}
    for seed in (*seed_content.AGENTS, seed_content.ECHO):
        for name, tag_id in seed.tags.items():
            ids.setdefault(tag_id, set()).add(name)
    assert all(len(names) == 1 for names in ids.values())


def test_what_an_administrator_archived_stays_archived(db: Database) -> None:
    db.transact(seeds.seed, now_ms=NOW, development=True)
    db.transact(service.archive, agent_id=seed_content.AGENTS[0].id, now_ms=NOW)
    db.transact(seeds.seed, now_ms=NOW + 1, development=True)
    assert db.read(published) == (LOCAL | {"echo"}) - {"outline-writer"}
    assert searched(db, "提纲").agents == []


def test_two_processes_may_seed_at_once(database_url: str) -> None:
    gate = threading.Barrier(2)
    failures: list[BaseException] = []

    def run() -> None:
        own = Database(database_url, pool_size=1)
        try:
            gate.wait()
            own.transact(seeds.seed, now_ms=NOW, development=True)
        except BaseException as error:  # noqa: BLE001 - told to the test's own thread
            failures.append(error)
        finally:
            own.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    database = Database(database_url, pool_size=1)
    assert (database.read(count, AGENTS), database.read(count, VERSIONS)) == (6, 6)
    database.close()


def test_a_version_that_cannot_run_is_refused(db: Database) -> None:
    db.transact(seeds.seed, now_ms=NOW, development=True)
    echo = seed_content.ECHO
    broken = [
        replace(echo.content, default_config={"steps": 0}),
        replace(echo.content, input_schema={"$ref": "https://example.org/x"}),
        replace(echo.content, runtime={**echo.content.runtime, "parameterMapping": {"a": "env.A"}}),
    ]
    paths: list[Any] = []
    for content in broken:
        with pytest.raises(Invalid) as caught:
            db.transact(service.add_version, agent_id=echo.id, content=content, now_ms=NOW)
        paths.append(caught.value.fields[0]["path"])
    assert paths == [["defaultConfig", "steps"], ["inputSchema"], ["runtime", "parameterMapping", "a"]]
    assert db.read(count, VERSIONS) == 6
