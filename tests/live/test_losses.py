"""Who comes back for text that Redis no longer has is told so: by the whole job, in the place of what is lost."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from atelier.jobs import states
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.live.wire import STREAM_ENTRIES_MAX, Notice
from tests.live.harness import World, healthy, serving, socket, stream
from tests.servers import ValkeyServer
from web.live import losses

engine = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
PIECES = STREAM_ENTRIES_MAX + 300
SEEN = 5


@pytest.fixture
def chosen(settings: Callable[..., Settings]) -> Settings:
    return settings(web_relay=False)


@pytest.fixture
def world(db: Database, chosen: Settings) -> World:
    return World(db, chosen)


def told(world: World, job: str, *, pieces: int) -> None:
    """So many pieces of text, each its own number."""
    first = world.seqs[job] + 1
    events = [world.event(job, "job.output", seq=first + n, delta=f"{first + n} ") for n in range(pieces)]
    assert world.publisher.publish(world.owners[job], events)
    world.seqs[job] += pieces


def pieces_of(events: Sequence[dict[str, Any]]) -> list[int]:
    return [int(event["data"]["delta"]) for event in events if event["type"] == "job.output"]


@engine
async def test_the_whole_job_stands_for_text_that_is_lost(world: World, chosen: Settings) -> None:
    me = world.person()
    job = world.job(me)
    world.claim(job)
    begun = world.seqs[job]
    told(world, job, pieces=PIECES)
    async with serving(chosen) as served, socket(served, me) as ws:
        await healthy(served)
        await ws.say(type="subscribe", jobId=job, after=begun + SEEN)
        async with stream(served, me, job, last_id=begun + SEEN) as events:
            _, *heard = await ws.until("job.output")
            streamed = [await events.next() or {} for _ in heard]
            for whole, piece in (heard, streamed):
                assert whole["type"] == "job.running"
                assert (whole["data"]["id"], whole["data"]["status"]) == (job, "running")
                assert whole["data"]["seq"] == whole["seq"] == piece["seq"] - 1 > begun + SEEN
            world.finish(job)
            rest = await events.rest()
    assert pieces_of([*streamed, *rest]) == list(range(streamed[1]["seq"], begun + PIECES + 1))
    assert (rest[-1]["type"], rest[-1]["data"]) == ("job.completed", {})


@engine
async def test_who_comes_late_is_told_that_the_beginning_is_lost(world: World, chosen: Settings) -> None:
    me = world.person()
    job = world.job(me)
    world.claim(job)
    begun = world.seqs[job]
    told(world, job, pieces=PIECES)
    async with serving(chosen) as served:
        await healthy(served)
        async with stream(served, me, job) as events:
            first, again, piece = [await events.next() or {} for _ in range(3)]
    assert (first["seq"], first["data"]["id"]) == (begun, job)
    assert (again["seq"], again["data"]["id"]) == (piece["seq"] - 1, job)
    assert piece["type"] == "job.output"


@engine
async def test_of_a_job_that_has_ended_meanwhile_only_the_whole_is_told(world: World, chosen: Settings) -> None:
    me = world.person()
    job = world.job(me)
    world.claim(job)
    begun = world.seqs[job]
    told(world, job, pieces=PIECES)
    world.finish(job)
    async with serving(chosen) as served:
        await healthy(served)
        async with stream(served, me, job, last_id=begun + SEEN) as events:
            (only,) = await events.rest()
            assert (only["type"], only["seq"], only["data"]["id"]) == ("job.completed", world.seqs[job], job)
        async with stream(served, me, job, last_id=begun + PIECES - 2) as events:
            rest = await events.rest()
    assert pieces_of(rest) == [begun + PIECES - 1, begun + PIECES]
    assert rest[-1]["data"] == {}


@engine
async def test_text_that_went_with_an_emptied_redis_is_lost(
    world: World, chosen: Settings, shared_valkey: ValkeyServer
) -> None:
    me = world.person()
    job = world.job(me)
    world.claim(job)
    begun = world.seqs[job]
    told(world, job, pieces=2)
    shared_valkey.wipe()
    told(world, job, pieces=2)
    async with serving(chosen) as served:
        await healthy(served)
        async with stream(served, me, job, last_id=begun + 1) as events:
            heard = [await events.next() or {} for _ in range(3)]
    assert [(event["type"], event["seq"] - begun) for event in heard] == [
        ("job.running", 2),
        ("job.output", 3),
        ("job.output", 4),
    ]


def past(*events: tuple[int, str]) -> list[Notice]:
    return [Notice("me", "job", seq, f"job.{kind}", b"{}") for seq, kind in events]


BEGUN = states.first_seq(1)
AGAIN = states.first_seq(2)


@pytest.mark.parametrize(
    ("events", "lost"),
    [
        ([], None),
        ([(BEGUN + 1, "output"), (BEGUN + 2, "progress"), (BEGUN + 3, "output"), (BEGUN + 4, "completed")], None),
        ([(BEGUN + 9, "progress"), (BEGUN + 10, "output")], None),
        ([(BEGUN + 2, "output")], 0),
        ([(BEGUN + 1, "output"), (BEGUN + 3, "output"), (BEGUN + 4, "output")], 1),
        ([(BEGUN + 2, "output"), (BEGUN + 5, "output"), (BEGUN + 6, "completed")], 1),
        ([(BEGUN + 5, "output"), (BEGUN + 6, "pending"), (AGAIN, "running"), (AGAIN + 1, "output")], None),
        ([(BEGUN + 1, "output"), (AGAIN, "running"), (AGAIN + 2, "output")], 2),
    ],
)
def test_text_is_lost_where_its_numbers_do_not_go_on(events: list[tuple[int, str]], lost: int | None) -> None:
    assert losses.end(past(*events), after=BEGUN) == lost
