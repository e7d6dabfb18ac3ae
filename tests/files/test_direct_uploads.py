"""Uploads that go straight to the storage: the same for a front end, wherever the storage is."""

import asyncio
import hashlib
import io
from typing import Any

import pytest
from aiohttp import FormData
from PIL import Image
from sqlalchemy import update
from sqlalchemy.orm import Session

from atelier.files import checking, direct
from atelier.files.direct import Verdict
from atelier.files.models import FILES
from atelier.kernel import clock
from atelier.kernel.errors import Transient
from atelier.storage.fake_oss import Fault
from tests.files import samples
from tests.files.conftest import IN_A_BUCKET, IN_A_FOLDER, ONE_DATABASE, Got, Open, Shop
from tests.live.harness import Person

FILM = samples.film("mp4", "libx264")


async def announced(
    shop: Shop, who: Person, data: bytes, *, name: str = "a.mp4", content_type: str = "video/mp4", key: str = ""
) -> Got:
    body = {"name": name, "size": len(data), "type": content_type}
    headers = {"Idempotency-Key": key} if key else {}
    return await shop.ask("POST", "/api/files/uploads", who, data=body, headers=headers)


async def send(shop: Shop, form: dict[str, Any], data: bytes, **changes: str) -> int:
    """POST the form as a browser does; the status."""
    sent = FormData(default_to_multipart=True)
    for name, value in {**form["fields"], **changes}.items():
        sent.add_field(name, value)
    sent.add_field("file", data, filename="blob", content_type="application/octet-stream")
    async with shop.served.client.post(form["url"], data=sent) as answer:
        await answer.read()
        return answer.status


async def completed(shop: Shop, who: Person, upload_id: str) -> Got:
    return await shop.ask("POST", f"/api/files/uploads/{upload_id}/complete", who)


async def upload(shop: Shop, who: Person, data: bytes, **claims: Any) -> Got:
    """All of it, up to the worker's look."""
    form = (await announced(shop, who, data, **claims)).body
    assert await send(shop, form, data) == 204
    assert (await completed(shop, who, form["id"])).status == 202
    shop.work()
    return await shop.ask("GET", f"/api/files/uploads/{form['id']}", who)


async def test_from_the_form_to_the_file(shop: Shop) -> None:
    me, other = shop.world.person(), shop.world.person()
    got = await announced(shop, me, FILM)
    assert got.status == 201
    assert set(got.body) == {"id", "status", "url", "method", "fields", "expiresAt"}
    assert (got.body["status"], got.body["method"]) == ("pending", "POST")
    state = f"/api/files/uploads/{got.body['id']}"
    assert got.headers["Location"] == state
    assert shop.usage(me) == (1, len(FILM)), "a promise counts"
    early = await completed(shop, me, got.body["id"])
    assert (early.status, early.body["code"], early.body["arrivedBytes"]) == (409, "UPLOAD_MISSING", 0)
    assert await send(shop, got.body, FILM) == 204
    assert (await shop.ask("GET", f"/api/files/{got.body['id']}", me)).status == 404, "it doesn't count yet"
    done = await completed(shop, me, got.body["id"])
    assert (done.status, done.body["status"], done.body["file"]) == (202, "checking", None)
    shop.work()
    shown = await shop.ask("GET", state, me)
    assert (shown.body["status"], shown.body["errorCode"]) == ("ready", None)
    file = shown.body["file"]
    assert (file["id"], file["size"], file["type"]) == (got.body["id"], len(FILM), "video/mp4")
    assert file["sha256"] == hashlib.sha256(FILM).hexdigest()
    assert (await completed(shop, me, got.body["id"])).status == 200
    assert (await shop.read(file["url"], me)).body == FILM
    for path in (state, file["url"]):
        assert (await shop.ask("GET", path, other)).status == 404
    assert (await completed(shop, other, got.body["id"])).status == 404
    assert (len(shop.keys()), shop.keys("incoming"), shop.usage(me)) == (1, [], (1, len(FILM)))


@ONE_DATABASE
async def test_a_picture_is_made_anew_and_counted_as_it_is(shop: Shop) -> None:
    me = shop.world.person()
    data = samples.noted_jpeg() + b"<script>"
    got = await upload(shop, me, data, name="a.jpg", content_type="image/jpeg")
    read = await shop.read(got.body["file"]["url"], me)
    assert Image.open(io.BytesIO(read.body)).size == (20, 40)
    assert b"anary" not in read.body
    assert b"<script>" not in read.body
    assert shop.usage(me) == (1, len(read.body))


@ONE_DATABASE
@pytest.mark.parametrize(
    "case",
    [
        (b"<html><script>alert(1)</script>", "a.png", "image/png", "UNSUPPORTED_MEDIA"),
        (samples.picture("PNG"), "a.jpg", "image/jpeg", "UNSUPPORTED_MEDIA"),
        (samples.declared_png(50_000, 50_000), "a.png", "image/png", "IMAGE_TOO_LARGE"),
        (samples.picture("PNG")[:70], "a.png", "image/png", "IMAGE_INVALID"),
    ],
)
async def test_what_is_not_what_was_announced_is_refused(shop: Shop, case: tuple[bytes, str, str, str]) -> None:
    data, name, content_type, code = case
    me = shop.world.person()
    got = await upload(shop, me, data, name=name, content_type=content_type)
    assert (got.body["status"], got.body["errorCode"], got.body["file"]) == ("refused", code, None)
    assert got.body["errorMessage"]
    assert (await completed(shop, me, got.body["id"])).body["status"] == "refused"
    assert (await shop.ask("GET", f"/api/files/{got.body['id']}", me)).status == 404
    assert (shop.keys(), shop.keys("incoming"), shop.usage(me)) == ([], [], (0, 0))


@ONE_DATABASE
@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"name": "a.svg", "type": "image/svg+xml"}, 415, "UNSUPPORTED_MEDIA"),
        ({"name": "a.mp4", "type": "image/png"}, 415, "UNSUPPORTED_MEDIA"),
        ({"name": "a", "type": "application/octet-stream"}, 415, "UNSUPPORTED_MEDIA"),
        ({"size": 501 * 2**20}, 413, "PAYLOAD_TOO_LARGE"),
        ({"size": 0}, 400, "VALIDATION_FAILED"),
        ({"size": "5"}, 400, "VALIDATION_FAILED"),
        ({"name": "a\u0000.mp4"}, 400, "VALIDATION_FAILED"),
        ({"key": "files/mine"}, 400, "VALIDATION_FAILED"),
        ({"userId": "someone"}, 400, "VALIDATION_FAILED"),
    ],
)
@IN_A_FOLDER
async def test_what_can_not_be_kept_is_not_announced(
    shop: Shop, changes: dict[str, Any], status: int, code: str
) -> None:
    body = {"name": "a.mp4", "size": 5, "type": "video/mp4", **changes}
    got = await shop.ask("POST", "/api/files/uploads", shop.world.person(), data=body)
    assert (got.status, got.body["code"]) == (status, code)
    assert shop.states() == {}


# -- the form


async def test_the_same_announcement_is_one_upload(shop: Shop) -> None:
    me = shop.world.person()
    first, again = [await announced(shop, me, FILM, key="k") for _ in range(2)]
    assert (first.status, again.status, again.headers["Idempotency-Replayed"]) == (201, 201, "true")
    assert (again.body["id"], again.body["expiresAt"]) == (first.body["id"], first.body["expiresAt"])
    assert await send(shop, again.body, FILM) == 204
    assert shop.usage(me) == (1, len(FILM))
    assert (await announced(shop, me, FILM + b"x", key="k")).status == 422


@ONE_DATABASE
async def test_a_form_sends_nothing_but_what_was_announced(shop: Shop) -> None:
    me = shop.world.person()
    form = (await announced(shop, me, FILM)).body
    signed = next(name for name in form["fields"] if name.lower().endswith("signature"))
    assert await send(shop, form, FILM, **{signed: "A" * 43}) == 403
    assert await send(shop, form, FILM + b"x") in {400, 413}
    assert await send(shop, form, FILM[:-1]) == 400
    assert shop.keys("incoming") == []
    assert await send(shop, form, FILM) == 204
    assert len(shop.keys("incoming")) == 1


@ONE_DATABASE
async def test_a_form_ends(shop: Shop) -> None:
    me = shop.world.person()
    form = (await announced(shop, me, FILM)).body
    if shop.oss:
        shop.oss.later_s = shop.settings.upload_form_seconds + 1
        assert await send(shop, form, FILM) == 403
        return
    past = str(clock.now_ms() - 1)
    assert await send(shop, form, FILM, expires=past) == 403, "the end is signed as well"
    shop.database.transact(_set, form["id"], created_ms=0)
    old = (await announced(shop, me, FILM, key="k")).body
    shop.database.transact(_set, old["id"], created_ms=0)
    again = (await announced(shop, me, FILM, key="k")).body
    assert await send(shop, again, FILM) == 410


@ONE_DATABASE
@IN_A_FOLDER
async def test_with_local_storage_only_a_pending_upload_takes_content(shop: Shop) -> None:
    me = shop.world.person()
    form = (await announced(shop, me, FILM)).body
    assert form["url"] == f"/api/files/uploads/{form['id']}/content"
    assert await send(shop, form, FILM) == 204
    await completed(shop, me, form["id"])
    assert await send(shop, form, FILM) == 404
    assert await send(shop, {**form, "url": form["url"].replace(form["id"], me.id)}, FILM) == 404


@ONE_DATABASE
@IN_A_BUCKET
async def test_with_oss_nothing_is_sent_to_us(shop: Shop) -> None:
    me = shop.world.person()
    form = (await announced(shop, me, FILM)).body
    assert shop.oss
    assert form["url"] == f"{shop.oss.endpoint}/atelier/"
    assert shop.oss.keeper.key_secret not in str(form)
    assert await send(shop, {**form, "fields": {}, "url": f"/api/files/uploads/{form['id']}/content"}, FILM) == 404


@ONE_DATABASE
async def test_what_is_sent_after_the_look_changes_nothing(shop: Shop) -> None:
    me = shop.world.person()
    form = (await announced(shop, me, FILM)).body
    await send(shop, form, FILM)
    await completed(shop, me, form["id"])
    shop.work()
    evil = FILM[:-8] + b"<script>"
    late = await send(shop, form, evil)
    assert late == (204 if shop.oss else 404), "a form of OSS is good until it ends"
    assert (await shop.read(f"/api/files/{form['id']}", me)).body == FILM
    shop.collect()
    assert shop.keys("incoming") == []


# -- looks that go wrong


def _set(session: Session, file_id: str, /, **values: Any) -> None:
    session.execute(update(FILES).where(FILES.c.id == file_id).values(**values))


async def sent(shop: Shop, who: Person) -> str:
    form = (await announced(shop, who, FILM)).body
    await send(shop, form, FILM)
    await completed(shop, who, form["id"])
    return str(form["id"])


async def test_two_workers_look_once(shop: Shop) -> None:
    me = shop.world.person()
    upload_id = await sent(shop, me)

    def look() -> str:
        return checking.check(shop.database, storage=shop.storage, intake=shop.intake, file_id=upload_id)[0]

    outcomes = await asyncio.gather(*(asyncio.to_thread(look) for _ in range(4)))
    assert sorted(outcomes) == ["kept", "not ours", "not ours", "not ours"]
    assert (len(shop.keys()), shop.usage(me)) == (1, (1, len(FILM)))


async def test_a_look_that_lost_its_claim_keeps_nothing(shop: Shop) -> None:
    me = shop.world.person()
    upload_id = await sent(shop, me)
    claimed = shop.database.transact(direct.claim, file_id=upload_id)
    assert claimed
    shop.database.transact(_set, upload_id, due_ms=0)
    assert checking.check(shop.database, storage=shop.storage, intake=shop.intake, file_id=upload_id)[0] == "kept"
    assert not shop.database.transact(direct.settle, claimed, Verdict(refusal="UPLOAD_MISSING"))
    assert (len(shop.keys()), shop.usage(me)) == (1, (1, len(FILM)))


@ONE_DATABASE
@IN_A_BUCKET
async def test_a_look_that_the_storage_broke_is_made_again(shop: Shop) -> None:
    assert shop.oss
    me = shop.world.person()
    upload_id = await sent(shop, me)
    shop.oss.faults += [Fault(kind="break", method="GET", after=100)]
    with pytest.raises(Transient):
        shop.work()
    assert shop.states() == {"checking": 1}
    shop.database.transact(_set, upload_id, due_ms=0)
    assert shop.collect()["requeued"] == 1
    shop.work()
    assert shop.states() == {"ready": 1}


async def test_what_nobody_can_look_at_is_given_up(shop: Shop) -> None:
    me = shop.world.person()
    upload_id = await sent(shop, me)
    shop.database.transact(_set, upload_id, due_ms=0, tries=direct.TRIES_MAX)
    shop.collect()
    got = await shop.ask("GET", f"/api/files/uploads/{upload_id}", me)
    assert (got.body["status"], got.body["errorCode"]) == ("refused", "UPLOAD_FAILED")
    assert (shop.usage(me), shop.keys("incoming")) == ((0, 0), [])


async def test_promises_are_bounded_by_the_quota(open_shop: Open) -> None:
    async with open_shop(user_files_max=3) as shop:
        me = shop.world.person()
        got = [(await announced(shop, me, FILM)).status for _ in range(5)]
        assert got == [201, 201, 201, 409, 409]
