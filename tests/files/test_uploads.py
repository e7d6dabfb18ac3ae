"""Files that are sent through the web role."""

import asyncio
import hashlib
import io
import re
from pathlib import Path

import pytest
from aiohttp import FormData
from PIL import Image

from atelier.kernel import ids
from atelier.storage.fake_oss import Fault
from tests.files import samples
from tests.files.conftest import IN_A_BUCKET, IN_A_FOLDER, ONE_DATABASE, Got, Open, Shop


async def test_a_file_is_kept_and_read_by_its_owner_only(shop: Shop) -> None:
    me, other = shop.world.person(), shop.world.person()
    got = await shop.upload(me, samples.PDF, name="报告 1.pdf", content_type="application/pdf")
    assert got.status == 201
    assert set(got.body) == {"id", "name", "size", "type", "sha256", "url", "createdAt"}
    assert ids.is_id(got.body["id"])
    assert (got.body["name"], got.body["type"]) == ("报告 1.pdf", "application/pdf")
    assert (got.body["size"], got.body["sha256"]) == (len(samples.PDF), hashlib.sha256(samples.PDF).hexdigest())
    assert got.body["url"] == f"/api/files/{got.body['id']}"
    assert got.headers["Cache-Control"] == "no-store"
    read = await shop.read(got.body["url"], me)
    assert (read.status, read.body, read.headers["Content-Type"]) == (200, samples.PDF, "application/pdf")
    assert read.headers["Content-Disposition"].startswith("attachment; ")
    assert "filename*=UTF-8''%E6%8A%A5%E5%91%8A%201.pdf" in read.headers["Content-Disposition"]
    for stranger in (other, None):
        assert (await shop.ask("GET", got.body["url"], stranger)).status == 404
        assert (await shop.ask("DELETE", got.body["url"], stranger)).status == (404 if stranger else 401)
    assert (await shop.ask("GET", got.body["url"], me)).status == 200


async def test_where_it_is_kept_tells_nothing_of_its_name_or_owner(shop: Shop) -> None:
    me = shop.world.person()
    await shop.upload(me, samples.PDF, name="../../etc/passwd.pdf", content_type="application/pdf")
    (key,) = shop.keys()
    assert re.fullmatch(r"files/[0-9a-f]{6}/[0-9a-f-]{36}-[0-9a-f]{32}\.pdf", key)
    assert me.id not in key


@ONE_DATABASE
@pytest.mark.parametrize(
    ("data", "name", "kind"),
    [
        (samples.picture("PNG"), "a.png", "image/png"),
        (samples.picture("JPEG"), "a.jpeg", "image/jpeg"),
        (samples.picture("WEBP"), "a.webp", "image/webp"),
        (samples.animation("GIF"), "a.gif", "image/gif"),
        (samples.sound("mp3", "libmp3lame"), "a.mp3", "audio/mpeg"),
        (samples.sound("wav", "pcm_s16le"), "a.wav", "audio/wav"),
        (samples.sound("ogg", "libopus", rate=48_000), "a.ogg", "audio/ogg"),
        (samples.sound("flac", "flac"), "a.flac", "audio/flac"),
        (samples.sound("ipod", "aac"), "a.m4a", "audio/mp4"),
        (samples.film("mp4", "libx264"), "a.mp4", "video/mp4"),
        (samples.film("webm", "libvpx-vp9"), "a.webm", "video/webm"),
        (samples.PDF, "a.pdf", "application/pdf"),
        ("文".encode(), "a.txt", "text/plain"),
        (b"# a", "a.md", "text/markdown"),
        (b"a,b\n", "a.csv", "text/csv"),
        (samples.JSON, "a.json", "application/json"),
    ],
)
@IN_A_FOLDER
async def test_every_kind_is_taken(shop: Shop, data: bytes, name: str, kind: str) -> None:
    me = shop.world.person()
    got = await shop.upload(me, data, name=name, content_type=kind)
    assert (got.status, got.body["type"]) == (201, kind)
    read = await shop.read(got.body["url"], me)
    assert read.headers["Content-Type"].partition(";")[0] == kind
    assert read.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in read.headers["Content-Security-Policy"]
    if not kind.startswith("image/"):
        sent = read.body if isinstance(read.body, bytes) else samples.JSON
        assert sent == data


@ONE_DATABASE
@IN_A_FOLDER
@pytest.mark.parametrize(
    "case",
    [
        (b"<svg onload=alert(1)>", "a.svg", "image/svg+xml", "extension"),
        (b"<svg onload=alert(1)>", "a.txt", "text/plain", "content"),
        (b"<!doctype html>", "a.png", "image/png", "content"),
        (samples.picture("PNG"), "a.jpg", "image/jpeg", "mismatch"),
        (samples.picture("PNG"), "a.php", "image/png", "extension"),
        (samples.picture("PNG"), "a.png", "text/html", "type"),
        (b"MZ\x90\0\3\0\0\0", "a.pdf", "application/pdf", "content"),
        (samples.film("matroska", "libx264"), "a.webm", "video/webm", "content"),
    ],
)
async def test_what_is_not_what_it_claims_is_refused(shop: Shop, case: tuple[bytes, str, str, str]) -> None:
    data, name, content_type, reason = case
    got = await shop.upload(shop.world.person(), data, name=name, content_type=content_type)
    assert (got.status, got.body["code"], got.body["reason"]) == (415, "UNSUPPORTED_MEDIA", reason)
    assert (shop.keys(), shop.states()) == ([], {})


@ONE_DATABASE
async def test_a_picture_is_made_anew(shop: Shop) -> None:
    me = shop.world.person()
    hidden = b"PK\x03\x04<script>alert(1)</script>"
    got = await shop.upload(me, samples.noted_jpeg() + hidden, name="x.jpg", content_type="image/jpeg")
    read = await shop.read(got.body["url"], me)
    assert read.headers["Content-Disposition"].startswith("inline; ")
    for piece in (b"anary", b"Exif", hidden):
        assert piece not in read.body
    assert Image.open(io.BytesIO(read.body)).size == (20, 40)
    assert (got.body["size"], got.body["sha256"]) == (len(read.body), hashlib.sha256(read.body).hexdigest())


@ONE_DATABASE
@IN_A_FOLDER
@pytest.mark.parametrize(
    "case",
    [
        (samples.declared_png(50_000, 50_000), "image/png", 413, "IMAGE_TOO_LARGE"),
        (samples.bomb_png(12_000), "image/png", 413, "IMAGE_TOO_LARGE"),
        (samples.declared_webp(16_384, 16_384), "image/webp", 413, "IMAGE_TOO_LARGE"),
        (samples.animation("GIF", frames=320, size=(4, 4)), "image/gif", 413, "IMAGE_TOO_LARGE"),
        (samples.picture("PNG")[:60], "image/png", 415, "IMAGE_INVALID"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 100, "image/jpeg", 415, "IMAGE_INVALID"),
    ],
)
async def test_bombs_and_broken_pictures_are_refused(shop: Shop, case: tuple[bytes, str, int, str]) -> None:
    data, content_type, status, code = case
    name = f"a.{content_type.partition('/')[2]}"
    got = await shop.upload(shop.world.person(), data, name=name, content_type=content_type)
    assert (got.status, got.body["code"]) == (status, code)
    assert shop.keys() == []


# -- the form


@ONE_DATABASE
@IN_A_FOLDER
async def test_a_file_that_is_too_large_is_refused_while_it_arrives(open_shop: Open) -> None:
    async with open_shop(upload_bytes_max=100_000) as shop:
        me = shop.world.person()
        arrived: list[int] = []

        async def endless() -> object:
            yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
            while sum(arrived) < 50_000_000:
                arrived.append(50_000)
                yield b"x" * 50_000
                await asyncio.sleep(0)

        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        got = await shop.ask("POST", "/api/files/upload", me, data=endless(), headers=headers)
        assert (got.status, got.body["code"], got.body["limit"]) == (413, "PAYLOAD_TOO_LARGE", 100_000)
        assert sum(arrived) < 10_000_000, "it was refused long before its end"
        got = await shop.upload(me, b"x" * 100_001, name="a.txt", content_type="text/plain")
        assert (got.status, got.body["code"]) == (413, "PAYLOAD_TOO_LARGE")
        assert (await shop.upload(me, b"x" * 100_000, name="a.txt", content_type="text/plain")).status == 201


@ONE_DATABASE
@IN_A_FOLDER
async def test_a_file_that_is_announced_as_too_large_is_not_waited_for(shop: Shop) -> None:
    me = shop.world.person()
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.served.port)
    writer.write(
        "POST /api/files/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 900000000\r\n"
        f"Authorization: Bearer {me.token}\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n".encode()
    )
    assert b" 413 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


@ONE_DATABASE
@IN_A_FOLDER
@pytest.mark.parametrize(
    ("fields", "path", "code"),
    [
        ([], "file", "missing"),
        ([("note", b"x", None)], "note", "extra_forbidden"),
        ([("file", b"", "a.txt")], "file", "file_empty"),
        ([("file", b"a", "a.txt"), ("file", b"b", "b.txt")], "file", "duplicate"),
        ([("file", b"a", "a.txt"), ("role", b"admin", None)], "role", "extra_forbidden"),
    ],
)
async def test_the_form_has_one_file_and_nothing_else(
    shop: Shop, fields: list[tuple[str, bytes, str | None]], path: str, code: str
) -> None:
    form = FormData(default_to_multipart=True)
    for name, data, filename in fields:
        form.add_field(name, data if filename else data.decode(), filename=filename)
    got = await shop.ask("POST", "/api/files/upload", shop.world.person(), data=form)
    assert (got.status, got.body["code"]) == (400, "VALIDATION_FAILED")
    assert [(one["path"], one["code"]) for one in got.body["details"]] == [([path], code)]
    assert shop.states() == {}


@ONE_DATABASE
@IN_A_FOLDER
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nonsense",
        b"--x\r\n\r\n",
        b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nhalf',
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhalf\r\n--y--',
        b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\na\r\n--y--\r\n--x--\r\n",
        b"--x\r\n" + b"A" * 20_000 + b": b\r\n\r\n\r\n--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\n' + b"z" * 40 + b"\r\n--x--\r\n",
    ],
)
async def test_a_broken_form_is_refused(shop: Shop, raw: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    got = await shop.ask("POST", "/api/files/upload", shop.world.person(), data=raw, headers=headers)
    assert (got.status, got.body["code"]) == (400, "VALIDATION_FAILED")


@ONE_DATABASE
@IN_A_FOLDER
async def test_only_a_form_is_a_form_and_only_users_send_one(shop: Shop) -> None:
    me = shop.world.person()
    for kind in ("application/json", "multipart/mixed; boundary=x", "multipart/form-data"):
        got = await shop.ask("POST", "/api/files/upload", me, data=b"{}", headers={"Content-Type": kind})
        assert got.status in {400, 415}
    assert (await shop.upload(None, samples.PDF)).status == 401


@ONE_DATABASE
@IN_A_FOLDER
async def test_a_connection_that_breaks_leaves_nothing(shop: Shop) -> None:
    me = shop.world.person()
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.served.port)
    head = (
        "POST /api/files/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
        f"Authorization: Bearer {me.token}\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
    )
    writer.write(head.encode() + b"x" * 100_000)
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert await reader.read() == b""
    assert (await shop.upload(me, b"x", name="a.txt", content_type="text/plain")).status == 201
    assert len(shop.keys()) == 1
    spool = Path(shop.settings.data_dir) / "spool"
    assert list(spool.iterdir()) == [], "what is on its way has no name on the disk"


# -- idempotency


async def test_the_same_key_and_the_same_bytes_are_one_file(shop: Shop) -> None:
    me, picture = shop.world.person(), samples.picture("PNG")
    first = await shop.upload(me, picture, key="k")
    again = await shop.upload(me, picture, key="k")
    assert (first.status, again.status) == (201, 201)
    assert first.body == again.body
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert (len(shop.keys()), shop.usage(me)) == (1, (1, first.body["size"]))
    for data, name in ((samples.picture("PNG", size=(9, 9)), "a.png"), (picture, "b.png")):
        other = await shop.upload(me, data, name=name, key="k")
        assert (other.status, other.body["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert len(shop.keys()) == 1
    assert (await shop.upload(shop.world.person(), picture, key="k")).body["id"] != first.body["id"]


async def test_many_at_once_with_one_key_are_one_file(shop: Shop) -> None:
    me, picture = shop.world.person(), samples.picture("PNG")

    async def uploaded() -> Got:
        # Whoever is told that the same request is still running comes again, as clients do.
        while (got := await shop.upload(me, picture, key="k")).status == 409:
            assert got.body["code"] == "IDEMPOTENCY_IN_PROGRESS"
        return got

    got = await asyncio.gather(*(uploaded() for _ in range(6)))
    assert {one.status for one in got} == {201}
    assert len({one.body["id"] for one in got}) == 1
    assert (shop.usage(me)[0], len(shop.keys())) == (1, 1)


# -- quota


async def test_nobody_keeps_more_than_they_may(open_shop: Open) -> None:
    async with open_shop(user_files_max=3, user_bytes_max=1_000) as shop:
        me = shop.world.person()
        text = {"name": "a.txt", "content_type": "text/plain"}
        got = await asyncio.gather(*(shop.upload(me, b"x" * 100, **text) for _ in range(8)))
        assert sorted(one.status for one in got) == [201] * 3 + [409] * 5
        refused = next(one.body for one in got if one.status == 409)
        assert (refused["code"], refused["filesMax"], refused["bytesMax"]) == ("FILE_QUOTA_EXCEEDED", 3, 1_000)
        assert (shop.usage(me), len(shop.keys())) == ((3, 300), 3)
        kept = next(one.body for one in got if one.status == 201)
        assert (await shop.ask("DELETE", kept["url"], me)).body == {"success": True}
        assert shop.usage(me) == (2, 200)
        assert (await shop.upload(me, b"x" * 801, **text)).status == 409
        assert (await shop.upload(me, b"x" * 800, **text)).status == 201
        assert (await shop.upload(shop.world.person(), b"x" * 1_001, **text)).status == 409


@ONE_DATABASE
@IN_A_FOLDER
async def test_uploads_have_a_rate_of_their_own(open_shop: Open) -> None:
    async with open_shop(uploads_per_minute=3) as shop:
        me = shop.world.person()
        got = [await shop.upload(me, b"x", name="a.txt", content_type="text/plain") for _ in range(4)]
        assert [one.status for one in got] == [201, 201, 201, 429]
        assert '"upload"' in got[-1].headers["RateLimit-Policy"]


# -- when the storage fails


@ONE_DATABASE
@IN_A_BUCKET
async def test_a_storage_that_fails_keeps_nothing_and_says_so(shop: Shop) -> None:
    assert shop.oss
    me = shop.world.person()
    shop.oss.faults += [Fault(kind="break", method="PUT", after=10)] * 3
    got = await shop.upload(me, samples.PDF, name="a.pdf", content_type="application/pdf")
    assert (got.status, got.body["code"]) == (503, "STORAGE_UNAVAILABLE")
    assert got.headers["Retry-After"]
    assert (shop.keys(), shop.states(), shop.usage(me)) == ([], {}, (0, 0))
    shop.oss.faults.append(Fault(kind="break", method="PUT", after=10))
    assert (await shop.upload(me, samples.PDF, name="a.pdf", content_type="application/pdf")).status == 201


@ONE_DATABASE
@IN_A_FOLDER
async def test_what_came_and_what_was_refused_is_counted(shop: Shop) -> None:
    from web.uploads import UPLOADS  # noqa: PLC0415 - only this test looks at the figures

    me = shop.world.person()
    await shop.upload(me, b"text", name="a.txt", content_type="text/plain")
    await shop.upload(me, b"<svg>", name="a.svg", content_type="image/svg+xml")
    await shop.upload(me, samples.declared_png(50_000, 50_000))
    await shop.upload(me, b"", name="a.txt", content_type="text/plain")
    uploads, kept = shop.served.application[UPLOADS].figures.collect()
    counted = {(one.labels["outcome"], one.labels["reason"]): one.value for one in uploads.samples}
    assert counted == {
        ("stored", ""): 1,
        ("refused", "UNSUPPORTED_MEDIA extension"): 1,
        ("refused", "IMAGE_TOO_LARGE"): 1,
        ("refused", "VALIDATION_FAILED"): 1,
    }
    assert [one.value for one in kept.samples] == [4]
