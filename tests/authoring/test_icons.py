"""Pictures of agents: proposed like everything else, public while they are shown, gone when nothing shows them."""

import io

import aiohttp
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.files.models import FILES
from tests.authoring.conftest import Got, Studio
from tests.authoring.test_packages import picture
from tests.live.harness import Person
from web import outputs

one_engine = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


async def send(studio: Studio, agent_id: str, who: Person | None, *, raw: bytes = b"", **headers: str) -> Got:
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(raw or picture()), filename="icon.png", content_type="image/png")
    sent = {key.replace("_", "-"): value for key, value in headers.items()} | (who.headers if who else {})
    async with studio.served.client.post(f"/api/agents/{agent_id}/icon", data=form, headers=sent) as answer:
        return Got(answer.status, await answer.json(), answer.headers)


def states(session: Session, *, owner_id: str) -> list[str]:
    mine = select(FILES.c.state).where(FILES.c.owner_id == owner_id).order_by(FILES.c.id)
    return list(session.scalars(mine))


async def shown(studio: Studio, address: str) -> int:
    async with studio.served.client.get(address) as answer:
        await answer.read()
        return answer.status


async def test_another_picture_takes_the_place_of_the_first(studio: Studio, creator: Person) -> None:
    made = await studio.create(creator)
    first = (await send(studio, made["id"], creator)).body["iconUrl"]
    assert await shown(studio, first) == 200
    second = await send(studio, made["id"], creator)
    assert (second.status, second.body["status"], second.body["revision"]) == (200, "review", 3)
    assert (await shown(studio, first), await shown(studio, second.body["iconUrl"])) == (404, 200)
    assert studio.db.read(states, owner_id=creator.id) == ["removing", "ready"]
    listed = await studio.ask("GET", "/api/agents/mine", who=creator)
    assert listed.body["agents"][0]["iconUrl"] == second.body["iconUrl"]


async def test_the_picture_of_a_published_agent_is_judged_first(studio: Studio, creator: Person) -> None:
    made = await studio.create(creator)
    old = (await send(studio, made["id"], creator)).body["iconUrl"]
    await studio.approve(made["id"])
    proposed = await send(studio, made["id"], creator)
    new = proposed.body["draft"]["definition"]["iconUrl"]
    assert (proposed.body["iconUrl"], proposed.body["draft"]["status"]) == (old, "review")
    judged = (await studio.ask("GET", f"/api/admin/agents/{made['id']}", who=studio.admin)).body
    assert judged["changes"] == [{"field": "iconUrl", "before": old, "after": new}]
    kept = (await studio.change(creator, proposed.body, name="改名")).body
    assert kept["draft"]["definition"]["iconUrl"] == new, "a change of the rest leaves the picture"
    await studio.approve(made["id"])
    assert (await studio.read(made["id"]))["iconUrl"] == new
    assert (await shown(studio, old), await shown(studio, new)) == (404, 200)


async def test_a_proposed_picture_goes_with_its_proposal(studio: Studio, creator: Person) -> None:
    made = await studio.create(creator)
    await studio.approve(made["id"])
    proposed = (await send(studio, made["id"], creator)).body["draft"]["definition"]["iconUrl"]
    await studio.ask("DELETE", f"/api/agents/{made['id']}", who=creator)
    assert await shown(studio, proposed) == 404


@one_engine
async def test_a_picture_stays_as_long_as_it_is_shown(studio: Studio, creator: Person) -> None:
    made = await studio.create(creator)
    icon = (await send(studio, made["id"], creator)).body["iconUrl"]
    got = await studio.ask("DELETE", icon, who=creator)
    assert (got.status, got.body["code"]) == (409, "FILE_IN_USE")


@one_engine
async def test_whoever_may_not_change_the_agent_leaves_no_file(studio: Studio, creator: Person, reader: Person) -> None:
    made = await studio.create(creator)
    await studio.approve(made["id"])
    for who, status in ((reader, 404), (None, 401)):
        assert (await send(studio, made["id"], who)).status == status
    bad = await send(studio, made["id"], creator, raw=b"no picture")
    assert (bad.status, bad.body["code"]) == (415, "UNSUPPORTED_MEDIA")
    for person in (creator, reader):
        assert studio.db.read(states, owner_id=person.id) == []
    assert studio.served.application[outputs.STORAGE].keys("files", limit=10) == []


@one_engine
async def test_the_same_key_is_the_same_picture(studio: Studio, creator: Person) -> None:
    made = await studio.create(creator)
    raw = picture()
    first = await send(studio, made["id"], creator, raw=raw, Idempotency_Key="k")
    again = await send(studio, made["id"], creator, raw=raw, Idempotency_Key="k")
    assert (again.body, again.headers["Idempotency-Replayed"]) == (first.body, "true")
    assert studio.db.read(states, owner_id=creator.id) == ["ready"]
