"""Reading files, and deleting them."""

from collections.abc import Awaitable, Callable

import pytest

from tests.files import samples
from tests.files.conftest import IN_A_BUCKET, IN_A_FOLDER, ONE_DATABASE, Got, Open, Shop

TEXT = bytes(range(32, 127)) * 40


async def kept(shop: Shop, data: bytes = TEXT) -> tuple[str, Callable[..., Awaitable[Got]]]:
    """A text of somebody; its path, and how they read it."""
    me = shop.world.person()
    got = await shop.upload(me, data, name="a.txt", content_type="text/plain")
    assert got.status == 201, got.body
    path: str = got.body["url"]

    def read(**headers: str) -> Awaitable[Got]:
        return shop.read(path, me, **headers)

    return path, read


@ONE_DATABASE
async def test_parts_are_sent_on_their_own(shop: Shop) -> None:
    _, read = await kept(shop)
    part = await read(Range="bytes=10-19")
    assert (part.status, part.body) == (206, TEXT[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(TEXT)}"
    assert (await read(Range="bytes=-5")).body == TEXT[-5:]
    assert (await read(Range=f"bytes={len(TEXT)}-")).status == 416


@ONE_DATABASE
@IN_A_FOLDER
@pytest.mark.parametrize("of_another_kind", ["items=0-1", "bytes=0-1,3-4", "bytes"])
async def test_ranges_of_another_kind_are_ignored(shop: Shop, of_another_kind: str) -> None:
    _, read = await kept(shop)
    whole = await read(Range=of_another_kind)
    assert (whole.status, whole.body) == (200, TEXT)


@ONE_DATABASE
@IN_A_FOLDER
async def test_what_is_unchanged_is_not_sent_again(shop: Shop) -> None:
    path, read = await kept(shop)
    first = await read()
    assert first.headers["Cache-Control"] == "private, no-cache"
    again = await read(**{"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")
    assert (await read(**{"If-None-Match": '"other"'})).status == 200
    assert (await shop.ask("HEAD", path)).status == 404


@ONE_DATABASE
@IN_A_BUCKET
async def test_a_bucket_is_read_by_a_link_that_soon_ends(shop: Shop) -> None:
    assert shop.oss
    me = shop.world.person()
    path = (await shop.upload(me, TEXT, name="文.txt", content_type="text/plain")).body["url"]
    way = await shop.ask("GET", path, me, follow=False)
    assert way.status == 302
    assert way.headers["Cache-Control"] == "private, max-age=300"
    link = way.headers["Location"]
    assert link.startswith(f"{shop.oss.endpoint}/atelier/atelier/files/")
    read = await shop.ask("GET", link)
    assert (read.status, read.body) == (200, TEXT)
    assert read.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "filename*=UTF-8''%E6%96%87.txt" in read.headers["Content-Disposition"]
    shop.oss.later_s = shop.settings.file_link_seconds + 2
    assert (await shop.ask("GET", link)).status == 403
    assert (await shop.ask("GET", path, shop.world.person(), follow=False)).status == 404


# -- deleting


async def test_a_deleted_file_is_gone_at_once_and_its_bytes_soon(shop: Shop) -> None:
    me = shop.world.person()
    path = (await shop.upload(me, samples.PDF, name="a.pdf", content_type="application/pdf")).body["url"]
    (key,) = shop.keys()
    assert (await shop.ask("DELETE", path, me)).body == {"success": True}
    assert (await shop.ask("GET", path, me)).status == 404
    assert (await shop.ask("DELETE", path, me)).status == 404
    assert (shop.usage(me), shop.exists(key)) == ((0, 0), True)
    shop.work()
    assert (shop.exists(key), shop.states()) == (False, {})
    shop.work()


async def test_the_list_is_ones_own_and_tells_what_is_used(shop: Shop) -> None:
    me, other = shop.world.person(), shop.world.person()
    names = [f"{number}.txt" for number in range(3)]
    for name in names:
        await shop.upload(me, TEXT, name=name, content_type="text/plain")
    await shop.upload(other, TEXT, name="theirs.txt", content_type="text/plain")
    got = await shop.ask("GET", "/api/files?limit=2", me)
    assert [one["name"] for one in got.body["files"]] == ["2.txt", "1.txt"]
    assert set(got.body["files"][0]) == {"id", "name", "size", "type", "sha256", "url", "createdAt"}
    assert got.body["pagination"] == {"page": 1, "limit": 2, "total": 3, "pages": 2}
    assert (got.body["usedFiles"], got.body["usedBytes"]) == (3, 3 * len(TEXT))
    assert (await shop.ask("GET", "/api/files")).status == 401


@ONE_DATABASE
@IN_A_BUCKET
async def test_readiness_asks_the_storage_that_was_chosen(open_shop: Open) -> None:
    async with open_shop() as shop:
        assert (await shop.ask("GET", "/api/health/ready")).status == 200
        assert shop.oss
        assert "PUT atelier/health/probe" in shop.oss.calls
    async with open_shop(oss_key_secret="another") as shop:
        got = await shop.ask("GET", "/api/health/ready")
        assert (got.status, got.body["failed"]) == (503, ["storage"])
