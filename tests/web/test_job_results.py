"""What jobs have made, over HTTP: results and their files."""

import hashlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

import pytest
import pytest_asyncio
from multidict import CIMultiDictProxy
from pydantic_core import to_json

from atelier.generation import expiring
from atelier.kernel import clock, tokens
from atelier.kernel.clock import DAY_MS
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from atelier.storage.local import LocalStorage
from tests.live.harness import Served, World, healthy, serving
from web.schemas.jobs import ResultAnswer


@pytest.fixture
def chosen(settings: Callable[..., Settings]) -> Settings:
    return settings(web_relay=False)


@pytest.fixture
def world(db: Database, chosen: Settings) -> World:
    return World(db, chosen)


@pytest_asyncio.fixture
async def served(chosen: Settings) -> AsyncIterator[Served]:
    async with serving(chosen) as running:
        await healthy(running)
        yield running


async def get(
    served: Served, path: str, headers: dict[str, str], **query: Any
) -> tuple[int, Any, CIMultiDictProxy[str]]:
    async with served.client.get(path, headers=headers, params=query) as response:
        raw = await response.read()
        body = await response.json() if raw and "json" in response.content_type else raw
        return response.status, body, response.headers


# -- results


def stored(chosen: Settings, data: bytes, *, content_type: str) -> dict[str, Any]:
    kind, _, extension = content_type.partition("/")
    key = f"outputs/{new_id()}/1/0.{extension}"
    LocalStorage(chosen.data_dir / "files").put(key, data)
    return {
        "type": kind,
        "contentType": content_type,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "metadata": {"seed": 7},
        "key": key,
    }


async def test_a_result_is_described_and_its_file_sent(served: Served, world: World, chosen: Settings) -> None:
    me, picture = world.person(), bytes(range(256)) * 100
    job = world.job(me, kind="image")
    world.claim(job)
    text: dict[str, Any] = {
        "type": "text",
        "contentType": "text/markdown",
        "size": 5,
        "sha256": "0" * 64,
        "metadata": {},
        "text": "你好",
    }
    output = stored(chosen, picture, content_type="image/png")
    world.finish(job, result={"outputs": [output, text]})
    status, body, headers = await get(served, f"/api/jobs/{job}/result", me.headers)
    assert status == 200
    assert headers["Cache-Control"] == "no-store"
    described, told = ResultAnswer.model_validate_json(_json(body)).outputs
    assert (told.text, told.url) == ("你好", None)
    assert (described.sha256, described.size, described.metadata) == (output["sha256"], len(picture), {"seed": 7})
    assert output["key"] not in _json(body)
    status, sent, headers = await get(served, str(described.url), {})
    assert (status, sent) == (200, picture)
    assert headers["Content-Type"] == "image/png"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Disposition"] == f'inline; filename="{job}-0.png"'
    assert "sandbox" in headers["Content-Security-Policy"]
    status, sent, headers = await get(served, str(described.url), {"Range": "bytes=10-19"})
    assert (status, sent) == (206, picture[10:20])
    assert headers["Content-Range"] == f"bytes 10-19/{len(picture)}"


def _json(body: Any) -> str:
    return to_json(body).decode()


async def test_active_content_is_never_shown(served: Served, world: World, chosen: Settings) -> None:
    me = world.person()
    job = world.job(me)
    world.claim(job)
    world.finish(job, result={"outputs": [stored(chosen, b"<script>", content_type="text/html")]})
    _, body, _ = await get(served, f"/api/jobs/{job}/result", me.headers)
    _, _, headers = await get(served, body["outputs"][0]["url"], {})
    assert headers["Content-Disposition"].startswith("attachment")


async def test_only_our_own_links_open_and_not_for_ever(served: Served, world: World, chosen: Settings) -> None:
    me = world.person()
    job = world.job(me)
    world.claim(job)
    world.finish(job, result={"outputs": [stored(chosen, b"x", content_type="text/plain")]})
    _, body, _ = await get(served, f"/api/jobs/{job}/result", me.headers)
    url = body["outputs"][0]["url"]
    for forged in (
        url.replace("/0?", "/1?"),
        url.replace("expires=", "expires=9"),
        url.replace(job, world.job(me)),
        url[:-43] + "A" * 43,
    ):
        assert (await get(served, forged, {}))[0] == 403
    assert (await get(served, url[:-43] + "é" * 43, {}))[0] == 400
    assert (await get(served, url.partition("?")[0], {}))[0] == 400
    past = clock.now_ms() - 1
    signature = tokens.derived(chosen.keyring.current, "job.output", f"{job}/0/{past}")
    status, body, _ = await get(served, f"/api/jobs/{job}/outputs/0?expires={past}&signature={signature}", {})
    assert (status, body["code"]) == (410, "GONE")


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("pending", "JOB_NOT_FINISHED"),
        ("running", "JOB_NOT_FINISHED"),
        ("failed", "GENERATION_FAILED"),
        ("canceled", "JOB_FINISHED"),
    ],
)
async def test_a_job_without_a_result_says_why(served: Served, world: World, state: str, code: str) -> None:
    me = world.person()
    job = world.job(me)
    if state != "pending":
        world.claim(job)
    if state in {"failed", "canceled"}:
        world.finish(job, state, error_code="PROVIDER_REJECTED" if state == "failed" else None)
    status, body, _ = await get(served, f"/api/jobs/{job}/result", me.headers)
    assert (status, body["code"], body["jobStatus"]) == (409, code, state)
    if state == "failed":
        assert body["errorCode"] == "PROVIDER_REJECTED"


async def test_a_result_says_until_when_it_is_there_and_is_gone_after(
    served: Served, world: World, chosen: Settings
) -> None:
    me = world.person()
    job = world.job(me)
    world.claim(job)
    world.finish(job, result={"outputs": [stored(chosen, b"x", content_type="text/plain")]}, kept_ms=DAY_MS)
    _, body, _ = await get(served, f"/api/jobs/{job}/result", me.headers)
    left_ms = datetime.fromisoformat(body["resultExpiresAt"]).timestamp() * 1_000 - clock.now_ms()
    assert DAY_MS - 60_000 < left_ms <= DAY_MS
    assert world.db.transact(expiring.mark, now_ms=clock.now_ms() + DAY_MS)
    for path, headers in ((f"/api/jobs/{job}/result", me.headers), (body["outputs"][0]["url"], {})):
        status, gone, _ = await get(served, path, headers)
        assert (status, gone["code"]) == (410, "RESULT_EXPIRED")
    assert (await get(served, f"/api/jobs/{job}", me.headers))[1]["status"] == "completed", "jobs stay"
