"""The checks behind /api/health/ready never pile up."""

import asyncio

import pytest

from web.readiness import CHECK_SECONDS, Checks


async def test_a_check_that_hangs_is_not_asked_again_before_it_ends() -> None:
    release, asked = asyncio.Event(), list[int]()

    async def hang() -> None:
        asked.append(1)
        await release.wait()

    checks = Checks(needed={"slow": hang}, wished={}, fresh_seconds=0)
    assert (await checks()).failed == ("slow",)
    assert (await checks()).failed == ("slow",)
    assert asked == [1]
    release.set()
    assert (await checks()).failed == ()
    assert CHECK_SECONDS < 1, "probes give up after a second"


@pytest.mark.parametrize("fails", [False, True])
async def test_what_is_only_wished_for_slows_no_request(*, fails: bool) -> None:
    release, hangs = asyncio.Event(), False

    async def check() -> None:
        if hangs:
            await release.wait()
        elif fails:
            raise OSError

    checks = Checks(needed={}, wished={"part": check}, fresh_seconds=0)
    before = ("part",) if fails else ()
    await checks.prepare()
    assert (await checks()).degraded == before
    hangs = True
    began = asyncio.get_running_loop().time()
    answers = [(await checks()).degraded for _ in range(2)]
    assert asyncio.get_running_loop().time() - began < CHECK_SECONDS, "it waited for what is only wished for"
    assert answers == [before, before], "what the last check found is told while this one is young"
    while asyncio.get_running_loop().time() - began < CHECK_SECONDS:
        await checks()
    assert (await checks()).degraded == ("part",)
    hangs = fails = False
    release.set()
    await checks()
    assert (await checks()).degraded == ()


async def test_many_who_ask_at_once_ask_once() -> None:
    asked = list[int]()

    async def check() -> None:
        asked.append(1)

    checks = Checks(needed={"part": check}, wished={})
    found = await asyncio.gather(*(checks() for _ in range(50)))
    assert all(one.failed == () for one in found)
    assert asked == [1]
