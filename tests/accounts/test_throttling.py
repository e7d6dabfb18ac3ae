"""Throttling of logins: who has to wait, who has not, and that nobody slips by."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Barrier, Event
from typing import Any

import argon2
import pytest
from sqlalchemy import func, select, update
from typing_extensions import override

from atelier.accounts import throttle
from atelier.accounts.errors import HasherBusy, InvalidCredentials
from atelier.accounts.models import LoginFailure, User
from atelier.accounts.passwords import PasswordHasher
from atelier.kernel import clock
from atelier.kernel.database import Database
from atelier.kernel.errors import RateLimited
from atelier.kernel.ids import new_id
from atelier.onboarding import signing_in
from atelier.onboarding.desk import SignedIn
from atelier.onboarding.signing_in import Attempt
from tests.accounts.conftest import AWAY, HOME, NOW_MS, PASSWORD, House


async def test_the_eleventh_failure_has_to_wait_but_only_from_there(house: House) -> None:
    await house.register("mei")
    for n in range(10):
        with pytest.raises(InvalidCredentials):
            await house.login("mei", f"wrong {n}", now_ms=NOW_MS + n * clock.SECOND_MS)
    with pytest.raises(RateLimited) as refusal:
        await house.login("mei", PASSWORD, now_ms=NOW_MS + clock.MINUTE_MS)
    assert refusal.value.retry_after == 14 * 60
    await house.login("mei", PASSWORD, origin=AWAY, now_ms=NOW_MS + clock.MINUTE_MS)
    await house.login("mei", PASSWORD, now_ms=NOW_MS + throttle.WINDOW_MS)


async def test_unknown_accounts_are_throttled_alike(house: House) -> None:
    for _ in range(10):
        with pytest.raises(InvalidCredentials):
            await house.login("nobody", "wrong")
    with pytest.raises(RateLimited):
        await house.login("NOBODY", "wrong")


async def test_two_names_of_one_account_have_one_count_and_nobody_is_told(house: House) -> None:
    await house.register("mei")
    for names in (("mei", "mei@example.com"), ("li", "li@example.com")):
        answers: list[str] = []
        for name in (*names * 5, *names):
            with pytest.raises(InvalidCredentials) as refusal:
                await house.login(name, "wrong" if len(answers) < 10 else PASSWORD)
            answers.append(str(refusal.value))
        assert len(set(answers)) == 1
        for name in names:  # each name goes on to its own tenth failure, whether it is anybody's or not
            for _ in range(4):
                with pytest.raises(InvalidCredentials):
                    await house.login(name)
            with pytest.raises(RateLimited):
                await house.login(name)
    await house.login("mei", now_ms=NOW_MS + throttle.WINDOW_MS)


async def test_a_right_password_forgives_both_names(house: House) -> None:
    await house.register("mei")
    for _ in range(2):
        for name in ("mei", "mei@example.com") * 4:
            with pytest.raises(InvalidCredentials):
                await house.login(name, "wrong")
        await house.login("mei")


async def test_parallel_guesses_are_counted_before_they_are_looked_at(house: House) -> None:
    await house.register("mei")
    guesses = [house.login("mei", f"wrong {n}") for n in range(30)]
    outcomes = await asyncio.gather(*guesses, return_exceptions=True)
    kinds = [type(one) for one in outcomes]
    assert set(kinds) == {InvalidCredentials, RateLimited}
    assert kinds.count(InvalidCredentials) == 10


async def test_parallel_right_passwords_are_asked_to_come_again_in_a_moment(house: House) -> None:
    await house.register("mei")
    logins = [house.login("mei") for _ in range(25)]
    outcomes = await asyncio.gather(*logins, return_exceptions=True)
    assert {one.retry_after for one in outcomes if isinstance(one, RateLimited)} <= {1}
    assert {type(one) for one in outcomes} <= {SignedIn, RateLimited}
    assert sum(isinstance(one, SignedIn) for one in outcomes) >= 10
    await house.login("mei")


def test_who_waits_for_what_is_undecided_waits_a_moment_and_for_failures_the_window(db: Database) -> None:
    def begin(later_ms: int = 0) -> Attempt:
        attempt = Attempt(id=new_id(), purpose="login", address="192.0.2.1", kind="username", key="mei")
        db.transact(signing_in.begin, attempt=attempt, failures_max=3, now_ms=NOW_MS + later_ms)
        return attempt

    def waits(later_ms: int) -> int:
        with pytest.raises(RateLimited) as refusal:
            begin(later_ms)
        return refusal.value.retry_after

    window = throttle.WINDOW_MS // 1_000
    first, second, third = begin(), begin(), begin()
    assert waits(1_000) == 1
    db.transact(signing_in.fail, attempt=first)
    db.transact(signing_in.fail, attempt=second)
    assert waits(1_000) == 1
    assert waits(throttle.UNDECIDED_MS) == window - throttle.UNDECIDED_MS // 1_000, "by then its process is lost"
    db.transact(signing_in.fail, attempt=third)
    assert waits(1_000) == window - 1


@pytest.mark.parametrize("engine", ["mariadb"], indirect=True)
def test_guesses_in_several_processes_pass_one_by_one(db: Database) -> None:
    """Rows that are not there yet can't be locked, so the very first guesses are those that could slip by."""
    processes = [Database(db.url, pool_size=6) for _ in range(4)]
    threads = 24
    together = Barrier(threads)

    def guess(number: int, key: str) -> bool:
        attempt = Attempt(id=new_id(), purpose="login", address="192.0.2.1", kind="username", key=key)
        together.wait(30)
        try:
            processes[number % 4].transact(signing_in.begin, attempt=attempt, failures_max=10, now_ms=NOW_MS)
        except RateLimited:
            return False
        return True

    with ThreadPoolExecutor(threads) as pool:
        for _ in range(6):
            let_through = pool.map(partial(guess, key=new_id()), range(threads))
            assert sum(let_through) == 10
    for one in processes:
        one.close()


async def test_successes_are_not_counted_and_forgive(house: House) -> None:
    await house.register("mei")
    for _ in range(3):
        for _ in range(6):
            with pytest.raises(InvalidCredentials):
                await house.login("mei", "wrong")
        await house.login("mei")
    assert house.one(select(func.count()).where(LoginFailure.subject != throttle.GATE)) == 0


def test_a_subject_is_one_customer() -> None:
    def of(address: str, account: str = "mei") -> str:
        return throttle.subject(purpose="login", address=address, account=account)

    assert of("2001:db8:0:1::1") == of("2001:db8:0:1:ffff::2") != of("2001:db8:0:2::1")
    assert of("192.0.2.1") != of("192.0.2.2")
    assert of("192.0.2.1") != of("192.0.2.1", "li")
    assert of("::ffff:192.0.2.1") != of("::ffff:192.0.2.2")
    assert of("unix") != of("")


class Crowded(PasswordHasher):
    """Compares as ever, but has no place left for whoever has a hash to make."""

    @override
    async def hash(self, password: str) -> str:
        raise HasherBusy


@pytest.mark.parametrize("purpose", ["login", "change"])
async def test_a_line_that_is_full_after_a_right_password_is_no_failure_either(house: House, purpose: str) -> None:
    user_id = await house.register("mei")
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=8_192, parallelism=1).hash(PASSWORD)
    house.run(update(User).values(password_hash=weak))
    with ThreadPoolExecutor(1) as threads:
        crowded = replace(house.desk, passwords=Crowded(threads))
        changing = partial(crowded.change_password, user_id, old=PASSWORD, new="another password", expires_ms=NOW_MS)
        acts: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
            "login": partial(House(crowded, house.database).login, "mei"),
            "change": partial(changing, origin=HOME, now_ms=NOW_MS),
        }
        with pytest.raises(HasherBusy):
            await acts[purpose]()
    assert house.one(select(func.count()).where(LoginFailure.subject != throttle.GATE)) == 0


async def test_a_full_line_is_no_failure_of_the_user(house: House) -> None:
    await house.register("mei")
    gate = Event()
    with ThreadPoolExecutor(1) as threads:
        crowded = replace(house.desk, passwords=PasswordHasher(threads, waiting_max=1))
        threads.submit(gate.wait)
        patient = asyncio.create_task(crowded.passwords.hash(PASSWORD))
        await asyncio.sleep(0)
        with pytest.raises(HasherBusy):
            await House(crowded, house.database).login("mei")
        gate.set()
        await patient
    assert house.one(select(func.count()).where(LoginFailure.subject != throttle.GATE)) == 0
