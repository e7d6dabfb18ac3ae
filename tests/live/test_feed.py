import asyncio
from collections.abc import Callable, Iterable

import pytest
from typing_extensions import override

from atelier.live.wire import Notice
from web.live.feed import TRACKS_MAX, Close, Feed
from web.live.feeds import Feeds

ME = "me"
JOB = "job-1"


def event(seq: int, kind: str = "job.progress", *, job_id: str | None = JOB, user_id: str = ME) -> Notice:
    return Notice(user_id, job_id, seq, kind, b"{}")


def taken(feed: Feed) -> list[int]:
    found: list[int] = []
    while (item := feed.take()) is not None:
        assert isinstance(item, Notice)
        found.append(item.seq)
    return found


def following(*, after: int = 0) -> Feed:
    feed = Feed(ME)
    feed.follow(JOB, after=after)
    return feed


def offer(feed: Feed, events: Iterable[Notice]) -> None:
    for one in events:
        feed.offer(one)


def test_lets_nothing_through_twice_or_backwards() -> None:
    feed = following(after=3)
    offer(feed, map(event, [3, 5, 4, 5, 9, 1, 10]))
    assert taken(feed) == [5, 9, 10]


def test_lets_nothing_through_after_the_end() -> None:
    feed = following()
    offer(feed, [event(1), event(2, "job.completed"), event(7), event(8, "job.failed")])
    assert taken(feed) == [1, 2]
    assert feed.alive() == []


def test_lets_through_only_what_is_followed_and_ones_own() -> None:
    feed = following()
    offer(
        feed, [event(1, job_id="another"), event(1, user_id="someone else"), event(1, "credits.changed", job_id=None)]
    )
    assert taken(feed) == []


def test_everything_of_a_user_includes_new_jobs_and_credits() -> None:
    feed = Feed(ME)
    feed.everything = True
    offer(
        feed,
        [event(4, job_id="a"), event(2, job_id="b"), event(9, "credits.changed", job_id=None), event(3, job_id="a")],
    )
    assert taken(feed) == [4, 2, 9]


def test_what_comes_live_waits_for_what_is_read() -> None:
    feed = following(after=2)
    track = feed.hold(JOB)
    offer(feed, [event(6), event(5)])
    assert taken(feed) == []
    feed.release(JOB, track, [event(3), event(4), event(5)])
    assert taken(feed) == [3, 4, 5, 6]


def test_holds_that_overlap_release_once_in_order() -> None:
    feed = following()
    first, second = feed.hold(JOB), feed.hold(JOB)
    feed.release(JOB, first, [event(2), event(4)])
    assert taken(feed) == []
    feed.offer(event(5))
    feed.release(JOB, second, [event(1), event(3)])
    assert taken(feed) == [1, 2, 3, 4, 5]


def test_a_pause_holds_everything() -> None:
    feed = Feed(ME)
    feed.everything = True
    feed.pause()
    offer(feed, [event(3, job_id="a"), event(2, job_id="b")])
    assert taken(feed) == []
    feed.resume([event(1, job_id="b"), event(3, job_id="a")])
    assert taken(feed) == [1, 3, 2]


def test_a_job_that_was_left_while_it_was_held_stays_left() -> None:
    feed = following()
    track = feed.hold(JOB)
    feed.leave(JOB)
    feed.release(JOB, track, [event(1)])
    assert taken(feed) == []
    assert feed.alive() == []


def test_a_job_that_is_followed_again_is_held_by_nobody_from_before() -> None:
    feed = following()
    before = feed.hold(JOB)
    feed.leave(JOB)
    feed.follow(JOB)
    feed.release(JOB, before, [event(1)])
    feed.offer(event(2))
    again = feed.hold(JOB)
    feed.offer(event(3))
    feed.release(JOB, before, [event(4)])
    assert taken(feed) == [2]
    feed.release(JOB, again)
    assert taken(feed) == [3]


def test_a_consumer_that_is_too_slow_is_ended_and_nothing_kept() -> None:
    feed = Feed(ME, waiting_max=10)
    feed.follow(JOB)
    told: list[Close] = []
    feed.on_end = told.append
    offer(feed, map(event, range(1, 50)))
    assert feed.ended is Close.TOO_SLOW
    assert told == [Close.TOO_SLOW]
    assert feed.take() is None


def test_a_catch_up_that_is_too_slow_ends_the_feed_as_well() -> None:
    feed = Feed(ME, waiting_max=10)
    feed.follow(JOB)
    feed.hold(JOB)
    offer(feed, map(event, range(1, 50)))
    assert feed.ended is Close.TOO_SLOW


def test_the_first_reason_to_end_counts() -> None:
    feed = following()
    feed.end(Close.UNAUTHORIZED)
    feed.end(Close.GOING_AWAY)
    assert feed.ended is Close.UNAUTHORIZED


def test_what_a_feed_remembers_is_bounded() -> None:
    feed = Feed(ME)
    feed.everything = True
    feed.offer(event(5, job_id="alive"))
    for number in range(TRACKS_MAX + 100):
        feed.offer(event(1, "job.completed", job_id=f"job-{number}"))
        feed.take()
    assert len(feed.tracks) == TRACKS_MAX
    assert feed.alive() == ["alive"]


class Offered(Feed):
    """Counts what it is told of."""

    __slots__ = ("offers",)

    def __init__(self, user_id: str) -> None:
        super().__init__(user_id)
        self.offers = 0

    @override
    def offer(self, notice: Notice) -> None:
        self.offers += 1
        super().offer(notice)


def test_nobody_remembers_a_feed_that_is_gone_whatever_it_has_forgotten() -> None:
    feeds, feed = Feeds(), Offered(ME)
    feeds.watch_everything(feed)
    jobs = [f"job-{number}" for number in range(TRACKS_MAX + 100)]
    for job_id in jobs:
        feed.follow(job_id)
        feeds.watch(feed, job_id)
    feeds.remove(feed)
    for job_id in jobs:
        feeds.dispatch(event(1, job_id=job_id))
    assert (len(feeds), feed.offers) == (0, 0)


async def test_waiting_ends_with_an_event_or_the_end() -> None:
    feed = following()
    feed.offer(event(1))
    await feed.ready(seconds=60)
    assert taken(feed) == [1]
    await feed.ready(seconds=0.001)
    acts: list[Callable[[], None]] = [lambda: feed.offer(event(2)), lambda: feed.end(Close.GOING_AWAY)]
    for act in acts:
        waiting = asyncio.create_task(feed.ready(seconds=60))
        await asyncio.sleep(0)
        assert not waiting.done()
        act()
        await waiting
        feed.take()
    await feed.ready(seconds=60)
    assert feed.take() is None


def test_news_are_told_once_per_item() -> None:
    feed = following()
    told: list[Feed] = []
    feed.on_news = told.append
    offer(feed, map(event, [1, 2]))
    feed.say(b"{}")
    assert told == [feed] * 3


@pytest.mark.parametrize("kind", ["job.completed", "job.failed", "job.canceled"])
def test_every_final_event_ends_a_job(kind: str) -> None:
    feed = following()
    feed.offer(event(1, kind))
    assert feed.alive() == []
