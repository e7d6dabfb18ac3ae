"""Agent packages: read without trust, named by file and field where they are wrong, a draft when they are right."""

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from PIL import Image

from atelier.catalog import packages
from tests.authoring.conftest import IMAGE, Got, Studio, agent_body
from tests.live.harness import Person

UPLOAD = "/api/agents/upload"
MANIFEST = agent_body(name="包里的海报", detailedDescription="多行\n说明")
YAML = f"""
name: 包里的海报
description: 用一句话画出水墨风格的海报，适合活动与封面。
categoryId: {IMAGE}
priceType: pay_per_use
creditsPerUse: 6
capabilities: [海报]
supportedLanguages: [zh, en]
inputTypes: [text]
outputTypes: [image]
tags: [水墨]
runtime:
  provider: local-image
  promptTemplate: |
    水墨画：{{{{prompt}}}}
    留白要多。
"""
EXAMPLE = {"title": "清晨", "inputData": {"prompt": "江南水乡的清晨"}, "config": {"width": 512}, "output": "一张图"}
one_engine = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def picture(kind: str = "PNG", *, size: tuple[int, int] = (900, 700)) -> bytes:
    into = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(into, kind)
    return into.getvalue()


def zipped(files: Mapping[str, bytes | str | Any], *, packed: int = zipfile.ZIP_DEFLATED) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", packed) as archive:
        for name, content in files.items():
            raw = content if isinstance(content, bytes | str) else json.dumps(content)
            archive.writestr(name, raw)
    return into.getvalue()


async def upload(studio: Studio, raw: bytes, *, name: str, who: Person | None, **headers: str) -> Got:
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(raw), filename=name)
    sent = {key.replace("_", "-"): value for key, value in headers.items()} | (who.headers if who else {})
    async with studio.served.client.post(UPLOAD, data=form, headers=sent) as answer:
        return Got(answer.status, await answer.json(), answer.headers)


async def test_a_whole_package_becomes_a_draft(studio: Studio, creator: Person) -> None:
    files = {
        "my-agent/manifest.yaml": YAML,
        "my-agent/icon.png": picture(),
        "my-agent/examples/b.json": EXAMPLE,
        "my-agent/examples/a.yaml": "title: 夜\ninputData: {prompt: 夜里的桥}",
        "my-agent/.DS_Store": b"litter",
        "__MACOSX/my-agent/._icon.png": b"litter",
    }
    got = await upload(studio, zipped(files), name="agent.zip", who=creator)
    assert got.status == 201, got.body
    made = got.body
    assert (made["status"], made["draft"]["status"], made["draft"]["submittedAt"]) == ("draft", "draft", None)
    assert made["runtime"]["promptTemplate"] == "水墨画：{{prompt}}\n留白要多。"
    assert [one["title"] for one in made["examples"]] == ["夜", "清晨"]
    assert made["examples"][1] == EXAMPLE
    assert got.headers["Location"] == f"/api/agents/{made['id']}"
    async with studio.served.client.get(made["iconUrl"]) as icon:
        assert (icon.status, icon.headers["Content-Type"]) == (200, "image/webp")
        shown = Image.open(io.BytesIO(await icon.read()))
        assert max(shown.size) == 512
    queue = await studio.ask("GET", "/api/admin/agents?status=review", who=studio.admin)
    assert queue.body["agents"] == [], "its author is still at it"
    changed = (await studio.change(creator, made, name="改一改", examples=[EXAMPLE])).body
    assert (changed["status"], changed["draft"]["status"], changed["iconUrl"]) == ("draft", "draft", made["iconUrl"])
    await studio.ask("POST", f"/api/agents/{made['id']}/submit", who=creator)
    await studio.approve(made["id"])
    public = await studio.read(made["id"])
    assert (public["status"], public["iconUrl"], public["examples"]) == ("published", made["iconUrl"], [EXAMPLE])


@pytest.mark.parametrize(
    ("name", "raw"),
    [("agent.json", json.dumps(MANIFEST)), ("agent.yaml", YAML), ("agent", YAML), ("x.txt", json.dumps(MANIFEST))],
)
@one_engine
async def test_a_manifest_alone_is_a_package_too(studio: Studio, creator: Person, name: str, raw: str) -> None:
    got = await upload(studio, raw.encode(), name=name, who=creator)
    assert (got.status, got.body["name"], got.body["iconUrl"]) == (201, "包里的海报", None)


async def test_the_same_key_and_bytes_are_one_draft(studio: Studio, creator: Person) -> None:
    raw = zipped({"manifest.json": MANIFEST, "icon.png": picture()})
    first = await upload(studio, raw, name="a.zip", who=creator, Idempotency_Key="k")
    again = await upload(studio, raw, name="a.zip", who=creator, Idempotency_Key="k")
    assert (again.status, again.body, again.headers["Idempotency-Replayed"]) == (201, first.body, "true")
    other = await upload(studio, YAML.encode(), name="a.yaml", who=creator, Idempotency_Key="k")
    assert (other.status, other.body["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    mine = await studio.ask("GET", "/api/agents/mine", who=creator)
    assert mine.body["pagination"]["total"] == 1


@one_engine
async def test_an_icon_that_is_none_is_refused(studio: Studio, creator: Person) -> None:
    cases = {
        "icon.png": (b"<svg onload=alert(1)>", 415, "UNSUPPORTED_MEDIA"),
        "icon.jpg": (picture("PNG"), 415, "UNSUPPORTED_MEDIA"),
        "icon.gif": (picture("GIF")[:60], 415, "IMAGE_INVALID"),
    }
    for name, (raw, status, code) in cases.items():
        got = await upload(studio, zipped({"manifest.json": MANIFEST, name: raw}), name="a.zip", who=creator)
        assert (got.status, got.body["code"]) == (status, code), got.body
    huge = zipped({"manifest.json": MANIFEST, "icon.png": picture(size=(9_000, 9_000))})
    got = await upload(studio, huge, name="a.zip", who=creator)
    assert got.body["code"] == "IMAGE_TOO_LARGE"


@one_engine
async def test_a_package_is_capped_while_it_arrives(studio: Studio, creator: Person) -> None:
    got = await upload(studio, b"x" * (packages.PACKAGE_BYTES_MAX + 1), name="a.zip", who=creator)
    assert (got.status, got.body["code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert (await upload(studio, YAML.encode(), name="a.yaml", who=None)).status == 401
    got = await studio.ask("POST", UPLOAD, MANIFEST, who=creator)
    assert (got.status, got.body["code"]) == (415, "UNSUPPORTED_MEDIA")
