"""All feeds of this process, by what they follow."""

from collections.abc import Mapping

from atelier.live.wire import Notice
from web.live.feed import Feed


class Feeds:
    """Who is told of what. An event costs two lookups when nobody here follows it."""

    def __init__(self) -> None:
        # Mostly one feed follows a job: a tuple is small, and can be gone through while others come and go.
        self._by_job: dict[str, tuple[Feed, ...]] = {}
        self._by_user: dict[str, tuple[Feed, ...]] = {}
        self._all: set[Feed] = set()
        self._forget = self.unwatch  # One for all feeds: there are thousands.

    def __len__(self) -> int:
        return len(self._all)

    def watch(self, feed: Feed, job_id: str) -> None:
        """Tell the feed of this job, until it forgets it: what has no track is not found when the feed is removed."""
        feed.on_forget = self._forget
        _add(self._by_job, job_id, feed)
        self._all.add(feed)

    def unwatch(self, feed: Feed, job_id: str) -> None:
        """Tell the feed of this job no longer."""
        _discard(self._by_job, job_id, feed)

    def watch_everything(self, feed: Feed) -> None:
        """Tell the feed of everything of its user."""
        feed.everything = True
        _add(self._by_user, feed.user_id, feed)
        self._all.add(feed)

    def unwatch_everything(self, feed: Feed) -> None:
        """Tell the feed only of the jobs that it follows singly."""
        _discard(self._by_user, feed.user_id, feed)
        feed.everything = False
        for followed in list(feed.tracks):
            if feed not in self._by_job.get(followed, ()):
                feed.leave(followed)

    def remove(self, feed: Feed) -> None:
        """Tell the feed nothing any longer."""
        self._all.discard(feed)
        self.unwatch_everything(feed)
        for job_id in list(feed.tracks):
            self.unwatch(feed, job_id)

    def dispatch(self, notice: Notice) -> None:
        """Tell everyone whom it concerns; a feed that is told twice lets it through once."""
        if notice.job_id is not None:
            for feed in self._by_job.get(notice.job_id, ()):
                feed.offer(notice)
        for feed in self._by_user.get(notice.user_id, ()):
            feed.offer(notice)

    def alive(self) -> Mapping[str, list[Feed]]:
        """The unfinished jobs that someone follows, each with those who do."""
        found: dict[str, list[Feed]] = {}
        for feed in self._all:
            for job_id in feed.alive():
                found.setdefault(job_id, []).append(feed)
        return found

    def everyone(self) -> Mapping[str, tuple[Feed, ...]]:
        """The users of whom someone follows everything, each with those who do."""
        return self._by_user


def _add(index: dict[str, tuple[Feed, ...]], key: str, feed: Feed) -> None:
    feeds = index.get(key, ())
    if feed not in feeds:
        index[key] = (*feeds, feed)


def _discard(index: dict[str, tuple[Feed, ...]], key: str, feed: Feed) -> None:
    feeds = tuple(one for one in index.get(key, ()) if one is not feed)
    if feeds:
        index[key] = feeds
    else:
        index.pop(key, None)
