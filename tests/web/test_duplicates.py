"""A request that is sent again while the first is still at work: it waits briefly, then is told to come again."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic
from typing import Any

import pytest
import pytest_asyncio
from pydantic_core import to_json
from sqlalchemy import event
from sqlalchemy.orm import Session

from atelier.accounts import rules, signup
from atelier.accounts.signup import NewUser
from atelier.catalog.seed_content import ECHO
from atelier.contracts import idempotency
from atelier.contracts.idempotency import IdempotencyInProgress, Keyed
from atelier.generation.submit import Accepted, Limits, Submission, submit
from atelier.kernel import tokens
from atelier.kernel.clock import now_ms
from atelier.kernel.database import AsyncDatabase, Database
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from atelier.onboarding import operator
from tests.furnishing import furnish
from tests.jobs.lifecycle import Workshop
from tests.live.harness import Served, eventually, serving
from web.intake import GROUPS_AT_ONCE, Intake
from web.schemas.generate import GenerateBody
from web.services import SERVICES
from web.turns import WAIT_SECONDS, Turns

PASSWORD = "correct horse battery"
KEY = {"Idempotency-Key": "8b0b1c1e"}
REGISTER, GENERATE = "/api/auth/register", "/api/workshop/generate"
SUBMISSION = {"agentId": ECHO.id, "inputData": {"prompt": "回声"}}
LIMITS = Limits(waiting_max=99, attempts_max=1, republish_ms=1)
MEI = {"email": "mei@example.com", "username": "mei", "password": PASSWORD}
IN_PROGRESS = (409, "IDEMPOTENCY_IN_PROGRESS", "1")
on_mariadb = pytest.mark.parametrize("engine", ["mariadb"], indirect=True)  # SQLite locks the file, never a row.
on_sqlite = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@contextmanager
def held_open(db: Database, work: Callable[[Session], Any], *, commit: bool = False) -> Generator[None]:
    """Another process's transaction, which has done this much, and ends with the block."""
    with Session(db.writer) as session:
        work(session)
        yield
        if commit:
            session.commit()


@pytest_asyncio.fixture
async def served(db: Database, settings: Callable[..., Settings]) -> AsyncIterator[Served]:
    """A web role with the house's agents, and no worker."""
    db.transact(furnish)
    async with serving(settings(web_relay=False)) as running:
        yield running


async def register(served: Served) -> tuple[int, Any, str | None]:
    """Status, what the answer is named by, and when to come again."""
    async with served.client.post(REGISTER, json=MEI, headers=KEY) as got:
        body = await got.json()
        named = body.get("code") or got.headers.get("Idempotency-Replayed")
        return got.status, named, got.headers.get("Retry-After")


def take_the_address(session: Session) -> None:
    """As far as someone else's registration of the same address comes before it is committed."""
    new = NewUser(
        id=new_id(), address=rules.email("mei@example.com"), username="lin", password_hash="-", display_name=""
    )
    signup.create(session, new=new, now_ms=now_ms())


def take_the_key(session: Session) -> None:
    """As far as the same registration comes in another process."""
    of = idempotency.keyed(user_id="anonymous\nmei@example.com", route=f"POST {REGISTER}", key="8b0b1c1e", body=b"")
    idempotency.store(session, of, status=200, answer={}, now_ms=now_ms())


# -- over HTTP


async def test_a_duplicate_of_a_request_that_hangs_is_told_to_come_again(served: Served, db: Database) -> None:
    with held_open(db, take_the_address):
        begun = monotonic()
        both = {asyncio.create_task(register(served)) for _ in range(2)}
        done, hanging = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        assert WAIT_SECONDS <= monotonic() - begun < WAIT_SECONDS + 10
        assert [one.result() for one in done] == [IN_PROGRESS]
    assert await hanging.pop() == (200, None, None)
    assert await register(served) == (200, "true", None)


async def test_a_duplicate_of_a_request_that_ends_in_time_is_answered(served: Served, db: Database) -> None:
    with held_open(db, take_the_address):
        both = {asyncio.create_task(register(served)) for _ in range(4)}
        done, _ = await asyncio.wait(both, timeout=WAIT_SECONDS / 4)
        assert done == set()
    answers = await asyncio.gather(*both)
    assert sorted(str(named) for _, named, _ in answers) == ["None", "true", "true", "true"]


async def test_a_duplicate_of_a_refused_request_is_judged_by_itself(served: Served, db: Database) -> None:
    with held_open(db, take_the_address, commit=True):
        both = {asyncio.create_task(register(served)) for _ in range(2)}
        await asyncio.wait(both, timeout=WAIT_SECONDS / 4)
    assert {await one for one in both} == {(400, "USER_EXISTS", None)}


@on_mariadb
async def test_another_process_that_hangs_with_the_key_is_waited_for_briefly(served: Served, db: Database) -> None:
    with held_open(db, take_the_key):
        assert await register(served) == IN_PROGRESS
    assert await register(served) == (200, None, None)


class Buyer:
    """Someone with credits, who submits the same job again and again."""

    def __init__(self, served: Served, db: Database, *, amount: int) -> None:
        self.served = served
        self.user_id = operator.create_user(
            db, email="mei@example.com", username="mei", password=PASSWORD, amount=amount
        )
        now, keyring = now_ms(), served.application[SERVICES].settings.keyring
        token = tokens.issue(
            keyring, user_id=self.user_id, token_id="t", version=0, now_ms=now, expires_ms=now + 60_000
        )
        self.headers = {"Authorization": f"Bearer {token}", **KEY}

    async def submit(self, **more: str) -> tuple[int, Any, str | None]:
        """Status, answer, and whether it is an earlier one."""
        async with self.served.client.post(GENERATE, json=SUBMISSION, headers=self.headers | more) as got:
            return got.status, await got.json(), got.headers.get("Idempotency-Replayed")

    async def cancel(self, submitted: dict[str, Any]) -> None:
        """End the job."""
        async with self.served.client.post(submitted["links"]["cancel"], headers=self.headers) as got:
            assert got.status == 200

    @property
    def keyed(self) -> Keyed:
        """What the key of a submission comes to."""
        body = GenerateBody.model_validate_json(to_json(SUBMISSION))
        asked = f"{GENERATE}\n{body.__pydantic_serializer__.to_json(body).decode()}".encode()
        key = KEY["Idempotency-Key"]
        return idempotency.keyed(user_id=self.user_id, route=f"POST {GENERATE}", key=key, body=asked)


async def test_who_waits_for_the_result_holds_no_duplicate_up(served: Served, db: Database) -> None:
    mei = Buyer(served, db, amount=9)
    first = asyncio.create_task(mei.submit(Prefer="wait=30"))
    await eventually(lambda: Workshop(db).balance(mei.user_id).held, what="the first is accepted")
    begun = monotonic()
    status, submitted, replayed = await mei.submit()
    assert (status, replayed) == (202, "true")
    assert monotonic() - begun < WAIT_SECONDS
    assert not first.done()
    await mei.cancel(submitted)
    assert await first == (202, submitted, None)


async def test_what_the_first_has_spent_in_another_process_is_no_reason_to_refuse(served: Served, db: Database) -> None:
    mei = Buyer(served, db, amount=1)
    one = replace(Workshop(db).submission(mei.user_id, 1), keyed=mei.keyed)
    with held_open(db, lambda session: submit(session, [one], limits=LIMITS), commit=True):
        again = asyncio.create_task(mei.submit())
        await asyncio.wait([again], timeout=WAIT_SECONDS / 4)
        assert not again.done()
    status, submitted, replayed = await again
    assert (status, submitted["jobId"], replayed) == (202, one.job_id, "true")


# -- inside


async def test_turns_are_taken_one_at_a_time_and_ending_one_twice_is_ending_it_once() -> None:
    turns, running, most = Turns(), 0, 0

    async def work() -> None:
        nonlocal running, most
        turn = await turns.take("k")
        running, most = running + 1, max(most, running + 1)
        await asyncio.sleep(0)
        running -= 1
        turn.end()
        turn.end()

    await asyncio.gather(*(work() for _ in range(20)))
    assert (running, most) == (0, 1)


async def test_a_turn_is_waited_for_only_so_long_and_never_for_another_key() -> None:
    turns = Turns(seconds=0.01)
    first, _ = await turns.take("k"), await turns.take("other")
    with pytest.raises(IdempotencyInProgress) as refused:
        await turns.take("k")
    assert refused.value.retry_after == 1
    first.end()
    (await turns.take("k")).end()


@on_mariadb
async def test_a_key_that_hangs_elsewhere_holds_none_of_its_neighbours(db: Database) -> None:
    wait_briefly(db)
    shop, asynchronous = Workshop(db), AsyncDatabase(db)
    intake = Intake(asynchronous, limits=LIMITS, announce=nobody)
    keys = [idempotency.keyed(user_id="u", route="POST /x", key=str(number), body=b"") for number in range(6)]
    with held_open(db, lambda session: idempotency.store(session, keys[-2], status=202, answer={}, now_ms=1)):
        outcomes = await asyncio.gather(*(intake.submit(free(shop, one)) for one in keys), return_exceptions=True)
    # The first ones are on their way alone, the others wait for them and go together.
    assert len(keys) > GROUPS_AT_ONCE + 1
    assert [type(one) for one in outcomes] == [*[Accepted] * 4, IdempotencyInProgress, Accepted]
    await intake.close()
    asynchronous.close()


def nobody(_fresh: Sequence[tuple[Submission, Accepted]]) -> None:
    """Nobody watches."""


def free(shop: Workshop, keyed: Keyed) -> Submission:
    """A submission that locks no account."""
    return replace(shop.submission(shop.user(), 0), keyed=keyed)


def wait_briefly(db: Database) -> None:
    """Let the database give a lock up after a second; the product's own wait only takes longer."""

    @event.listens_for(db.writer, "connect")
    def configure(connection: Any, _record: object) -> None:  # pyright: ignore[reportUnusedFunction]
        with connection.cursor() as cursor:
            cursor.execute("SET innodb_lock_wait_timeout=1")

    db.writer.dispose()
