"""Group commit for threads: company is used, never waited for by who is alone, and everyone gets what is theirs."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from atelier.kernel.batching import Batcher

SECONDS_MAX = 30


class Work:
    """Doubles numbers; the first group ends when the test says so. Negative numbers fail, and zero fails its group."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def __call__(self, numbers: Sequence[int]) -> list[int | Exception]:
        self.groups.append(list(numbers))
        if not self.begun.is_set():
            self.begun.set()
            assert self.may_end.wait(SECONDS_MAX)
        if 0 in numbers:
            raise ZeroDivisionError
        return [2 * number if number > 0 else ValueError(number) for number in numbers]


def _in_company(
    work: Work, batcher: Batcher[int, int], numbers: Sequence[int], pool: ThreadPoolExecutor
) -> list[Future[int]]:
    """One call that is at work, and those that come meanwhile."""
    first = pool.submit(batcher.call, 1)
    assert work.begun.wait(SECONDS_MAX)
    others = [pool.submit(batcher.call, number) for number in numbers]
    while batcher.waiting < len(numbers):
        threading.Event().wait(0.001)
    work.may_end.set()
    return [first, *others]


def test_who_comes_while_others_are_served_is_served_together() -> None:
    work = Work()
    batcher = Batcher(work)
    with ThreadPoolExecutor(8) as pool:
        calls = _in_company(work, batcher, [2, 3, 4], pool)
        assert [call.result(SECONDS_MAX) for call in calls] == [2, 4, 6, 8]
    assert [sorted(group) for group in work.groups] == [[1], [2, 3, 4]]


def test_groups_are_bounded() -> None:
    work = Work()
    batcher = Batcher(work, group_max=2)
    with ThreadPoolExecutor(8) as pool:
        calls = _in_company(work, batcher, [2, 3, 4], pool)
        assert [call.result(SECONDS_MAX) for call in calls] == [2, 4, 6, 8]
    assert [len(group) for group in work.groups] == [1, 2, 1]


def test_an_error_belongs_to_its_item_and_a_raised_one_to_the_group() -> None:
    work = Work()
    batcher = Batcher(work)
    with ThreadPoolExecutor(8) as pool:
        first, bad, good = _in_company(work, batcher, [-2, 3], pool)
        assert (first.result(SECONDS_MAX), good.result(SECONDS_MAX)) == (2, 6)
        with pytest.raises(ValueError, match="-2"):
            bad.result(SECONDS_MAX)
        with pytest.raises(ZeroDivisionError):
            batcher.call(0)
        assert batcher.call(5) == 10


def test_who_is_alone_does_not_wait_for_company() -> None:
    work = Work()
    work.may_end.set()
    # Longer than the test may last: it would not end if a lone call let this time pass.
    batcher = Batcher(work, gather_seconds=3_600)
    assert [batcher.call(1), batcher.call(2)] == [2, 4]
    assert work.groups == [[1], [2]]


def test_company_is_waited_for_as_long_as_the_last_group_took() -> None:
    work = Work()
    # The bound is longer than the test may last: only what the first group took ends the wait.
    batcher = Batcher(work, gather_seconds=3_600)
    with ThreadPoolExecutor(8) as pool:
        calls = _in_company(work, batcher, [2, 3], pool)
        assert [call.result(SECONDS_MAX) for call in calls] == [2, 4, 6]
