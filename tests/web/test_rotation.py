"""A rotation of the secret, over HTTP: before it, while both keys are active, and after the old one is retired."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import FormData

from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.mail import links
from tests.live.harness import Person, Served, World, serving
from tests.web.test_event_sessions import greeted, ticket_of
from tests.web.test_job_results import stored

OLD = "4f1d0a7c9be24d0f8a63b5e7c2d19480f7a6e5d4c3b2a190"
NEW = "J4v9-kQ2x_8wZr7LmN1pTb6cYd3fHs5g"
FILE = b"plain text"


@dataclass(frozen=True)
class Era:
    """A web process with the keys of its time, and the people who signed in there."""

    served: Served
    world: World

    async def status(self, path: str, who: Person | None = None, *, method: str = "GET", data: Any = None) -> int:
        """What is answered."""
        headers = who.headers if who else {}
        async with self.served.client.request(method, path, headers=headers, data=data) as answer:
            await answer.read()
            return answer.status


@dataclass(frozen=True)
class Rotation:
    """Its three times, on the same database and the same files."""

    before: Era
    during: Era
    after: Era


@pytest_asyncio.fixture
async def rotation(db: Database, settings: Callable[..., Settings]) -> AsyncIterator[Rotation]:
    """All three at once: as different machines may be, while it goes on."""

    def chosen(**keys: str) -> Settings:
        return settings(web_relay=False, **keys)

    before, during, after = (
        chosen(jwt_secret=OLD),
        chosen(jwt_secret=NEW, jwt_secret_previous=OLD),
        chosen(jwt_secret=NEW),
    )
    async with serving(before) as first, serving(during) as second, serving(after) as third:
        yield Rotation(Era(first, World(db, before)), Era(second, World(db, during)), Era(third, World(db, after)))


Use = Callable[[Era], Awaitable[int]]
Make = Callable[[Era], Awaitable[Use]]


async def a_session(era: Era) -> Use:
    me = era.world.person()

    async def use(when: Era) -> int:
        return await when.status("/api/auth/profile", me)

    return use


async def a_result(era: Era) -> Use:
    world, me = era.world, era.world.person()
    job = world.job(me)
    world.claim(job, silently=True)
    world.finish(job, silently=True, result={"outputs": [stored(world.settings, FILE, content_type="text/plain")]})
    async with era.served.client.get(f"/api/jobs/{job}/result", headers=me.headers) as answer:
        url = (await answer.json())["outputs"][0]["url"]

    async def use(when: Era) -> int:
        return await when.status(url)

    return use


async def an_upload(era: Era) -> Use:
    me, body = era.world.person(), {"name": "a.txt", "size": len(FILE), "type": "text/plain"}
    async with era.served.client.post("/api/files/uploads", json=body, headers=me.headers) as answer:
        form = await answer.json()

    async def use(when: Era) -> int:
        sent = FormData(form["fields"], default_to_multipart=True)
        sent.add_field("file", FILE, filename="a.txt", content_type="text/plain")
        return await when.status(form["url"], method="POST", data=sent)

    return use


async def an_unsubscribing(era: Era) -> Use:
    me = era.world.person()
    address = links.unsubscribe(era.world.settings, user_id=me.id, category="sales")
    path = address[address.index("/api/") :]

    async def use(when: Era) -> int:
        return await when.status(path, method="POST")

    return use


@pytest.mark.parametrize(
    ("make", "good", "refused"),
    [(a_session, 200, 401), (a_result, 200, 403), (an_upload, 204, 403), (an_unsubscribing, 200, 400)],
)
async def test_what_was_signed_before_is_good_until_the_old_key_is_retired(
    rotation: Rotation, make: Make, good: int, refused: int
) -> None:
    old = await make(rotation.before)
    assert await old(rotation.before) == good
    assert await old(rotation.during) == good
    assert await old(rotation.after) == refused
    new = await make(rotation.during)
    assert await new(rotation.during) == good
    assert await new(rotation.after) == good
    assert await new(rotation.before) == refused


async def test_a_ticket_outlives_a_rotation_and_opens_a_session_of_either_key(rotation: Rotation) -> None:
    me = rotation.before.world.person()
    ticket = (await ticket_of(rotation.before.served, me))["ticket"]
    for era, is_welcome in ((rotation.after, False), (rotation.during, True)):
        async with era.served.client.ws_connect("/api/events") as ws:
            assert isinstance(await greeted(ws, type="auth", ticket=ticket), dict) is is_welcome


async def test_machines_may_change_one_after_the_other(db: Database, settings: Callable[..., Settings]) -> None:
    """First all of them believe the new key, then all sign with it: nobody is refused on the way."""
    steps = [("", OLD), (NEW, OLD), (OLD, NEW), ("", NEW)]
    rings = [settings(jwt_secret=current, jwt_secret_previous=previous) for previous, current in steps]
    for earlier, later in pairwise(rings):
        async with serving(earlier) as one, serving(later) as other:
            here, there = Era(one, World(db, earlier)), Era(other, World(db, later))
            for made, asked in ((here, there), (there, here)):
                assert await (await a_session(made))(asked) == 200
