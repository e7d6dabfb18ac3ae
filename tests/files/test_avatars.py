"""Pictures of people."""

import asyncio
import io
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select

from atelier.accounts import queries as accounts
from atelier.contracts.oplog import OperationRow
from atelier.files import models, names, service
from atelier.files.service import NewFile
from atelier.kernel import clock
from atelier.kernel.ids import new_id
from tests.files import samples
from tests.files.conftest import IN_A_FOLDER, ONE_DATABASE, Got, Open, Shop
from tests.live.harness import Person

PATH = "/api/users/avatar"


async def set_avatar(shop: Shop, who: Person | None, data: bytes | None = None, **claims: Any) -> Got:
    return await shop.upload(who, samples.picture("PNG") if data is None else data, path=PATH, **claims)


async def shown(shop: Shop, who: Person) -> Any:
    return (await shop.ask("GET", "/api/auth/profile", who)).body["avatarUrl"]


async def put(shop: Shop, who: Person, **changes: Any) -> Got:
    return await shop.ask("PUT", "/api/auth/profile", who, data=changes)


async def test_a_picture_is_shown_to_everyone_and_replaces_the_one_before(shop: Shop) -> None:
    me = shop.world.person()
    first = await set_avatar(
        shop, me, samples.picture("JPEG", size=(900, 700)), name="a.jpg", content_type="image/jpeg"
    )
    assert first.status == 200
    assert set(first.body) == {"avatarUrl", "file"}
    url = first.body["avatarUrl"]
    assert (url, await shown(shop, me)) == (first.body["file"]["url"], url)
    read = await shop.read(url)
    image = Image.open(io.BytesIO(read.body))
    assert (image.format, image.size) == ("WEBP", (512, 398))
    assert read.headers["Content-Type"] == "image/webp"
    if not shop.oss:
        assert read.headers["Cache-Control"] == "public, max-age=3600"
    (old,) = shop.keys()
    second = await set_avatar(shop, me)
    assert await shown(shop, me) == second.body["avatarUrl"] != url
    assert (await shop.ask("GET", url)).status == 404
    shop.work()
    assert (shop.exists(old), len(shop.keys()), shop.states()) == (False, 1, {"ready": 1})
    assert shop.usage(me) == (0, 0), "avatars count against no quota"


async def test_the_log_says_that_the_picture_was_changed(shop: Shop) -> None:
    me = shop.world.person()
    await set_avatar(shop, me)
    logged = select(OperationRow.action, OperationRow.details).where(OperationRow.user_id == me.id)
    rows = shop.database.read(lambda session: session.execute(logged).all())
    assert [tuple(row) for row in rows] == [("USER_UPDATE_PROFILE", {"fields": ["avatar_url"]})]


async def test_many_at_once_leave_one(shop: Shop) -> None:
    me = shop.world.person()
    got = await asyncio.gather(*(set_avatar(shop, me) for _ in range(6)))
    assert {one.status for one in got} == {200}
    shop.work()
    assert (len(shop.keys()), shop.states()) == (1, {"ready": 1})
    assert (await shop.read(await shown(shop, me))).status == 200


@ONE_DATABASE
@IN_A_FOLDER
async def test_the_same_key_is_one_picture(shop: Shop) -> None:
    me = shop.world.person()
    first, again = [await set_avatar(shop, me, key="k") for _ in range(2)]
    assert (first.body, again.headers["Idempotency-Replayed"]) == (again.body, "true")
    assert (await set_avatar(shop, me, samples.picture("PNG", size=(9, 9)), key="k")).status == 422


@ONE_DATABASE
@IN_A_FOLDER
@pytest.mark.parametrize(
    "case",
    [
        (samples.PDF, "a.pdf", "application/pdf", 415, "UNSUPPORTED_MEDIA"),
        (b"<svg onload=alert(1)>", "a.svg", "image/svg+xml", 415, "UNSUPPORTED_MEDIA"),
        (samples.picture("PNG"), "a.jpg", "image/jpeg", 415, "UNSUPPORTED_MEDIA"),
        (samples.declared_png(50_000, 50_000), "a.png", "image/png", 413, "IMAGE_TOO_LARGE"),
        (samples.picture("PNG")[:60], "a.png", "image/png", 415, "IMAGE_INVALID"),
        (samples.picture("PNG") + b"x" * 50_000, "a.png", "image/png", 413, "PAYLOAD_TOO_LARGE"),
        (b"", "a.png", "image/png", 400, "VALIDATION_FAILED"),
    ],
)
async def test_what_is_no_small_picture_is_refused(open_shop: Open, case: tuple[bytes, str, str, int, str]) -> None:
    data, name, content_type, status, code = case
    async with open_shop(avatar_bytes_max=40_000) as shop:
        me = shop.world.person()
        got = await set_avatar(shop, me, data, name=name, content_type=content_type)
        assert (got.status, got.body["code"], await shown(shop, me)) == (status, code, None)
        assert shop.keys() == []
        assert (await set_avatar(shop, None)).status == 401


# -- the profile's own field


async def test_a_profile_shows_https_or_a_public_file_of_ones_own(shop: Shop) -> None:
    me, other = shop.world.person(), shop.world.person()
    theirs = (await set_avatar(shop, other)).body["avatarUrl"]
    private = (await shop.upload(me, samples.picture("PNG"))).body["url"]
    for url in (theirs, private, names.url(new_id())):
        refused = await put(shop, me, avatarUrl=url)
        assert (refused.status, refused.body["details"][0]["path"]) == (400, ["avatarUrl"])
    assert await shown(shop, me) is None
    mine = (await set_avatar(shop, me)).body["avatarUrl"]
    assert (await put(shop, me, avatarUrl=mine)).body["avatarUrl"] == mine
    assert (await shop.read(mine)).status == 200


async def test_an_avatar_that_is_shown_no_longer_is_removed(shop: Shop) -> None:
    me = shop.world.person()
    url = (await set_avatar(shop, me)).body["avatarUrl"]
    await put(shop, me, bio="still here")
    assert (await shop.read(url)).status == 200
    assert (await put(shop, me, avatarUrl="https://example.com/a.png")).status == 200
    assert (await shop.ask("GET", url)).status == 404
    shop.work()
    assert shop.keys() == []


async def test_a_deleted_avatar_disappears_from_the_profile(shop: Shop) -> None:
    me, other = shop.world.person(), shop.world.person()
    url = (await set_avatar(shop, me)).body["avatarUrl"]
    assert (await shop.ask("DELETE", url, other)).status == 404
    assert (await shop.ask("DELETE", url, me)).status == 200
    assert await shown(shop, me) is None
    assert shop.database.read(accounts.profile, user_id=me.id).avatar_url is None


@ONE_DATABASE
async def test_what_an_agent_shows_is_public_and_not_deleted_as_a_file(shop: Shop) -> None:
    me = shop.world.person()
    key = names.new_key(names.FILES, content_type="image/png")
    shop.storage.put(key, samples.picture("PNG"), content_type="image/png")
    icon = NewFile(
        id=new_id(), owner_id=me.id, kind=models.ICON, name="icon.png", type="image/png",
        size=len(samples.picture("PNG")), sha256="0" * 64, key=key,
    )  # fmt: skip
    shop.database.transact(service.add, icon, quota=None, keyed=None, now_ms=clock.now_ms())
    assert (await shop.read(names.url(icon.id))).body == samples.picture("PNG")
    refused = await shop.ask("DELETE", names.url(icon.id), me)
    assert (refused.status, refused.body["code"]) == (409, "FILE_IN_USE")
    assert (await put(shop, me, avatarUrl=names.url(icon.id))).status == 200
    assert (await put(shop, me, avatarUrl=None)).status == 200
    assert (await shop.read(names.url(icon.id))).status == 200, "only avatars go with the profile"
