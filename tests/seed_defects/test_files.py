"""Pictures of people and uploads: A31 and A134, as far as they are about files."""

import io

import pytest
from aiohttp import FormData

from tests.seed_defects.conftest import Shop
from web.routes import ENDPOINTS

ONE_DATABASE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)


async def sent(shop: Shop, token: str, path: str, data: bytes, *, name: str, kind: str) -> tuple[int, dict[str, str]]:
    form = FormData()
    form.add_field("file", io.BytesIO(data), filename=name, content_type=kind)
    headers = {"Authorization": f"Bearer {token}"}
    async with shop.served.client.post(path, data=form, headers=headers) as answer:
        return answer.status, await answer.json()


@ONE_DATABASE
@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:image/png;base64,AA==", "http://tracker.example/a.png", "//evil.example/a.png"]
)
async def test_A31_no_picture_of_a_person_is_an_address_that_runs_or_tracks(shop: Shop, url: str) -> None:
    token = await shop.token()
    got = await shop.ask("PUT", "/api/auth/profile", {"avatarUrl": url}, token=token)
    assert (got.status, got.body["details"][0]["path"]) == (400, ["avatarUrl"])


async def test_A31_a_picture_among_our_files_is_ones_own_and_public(shop: Shop) -> None:
    mei, lin = await shop.token("mei"), await shop.token("lin")
    _, avatar = await sent(shop, mei, "/api/users/avatar", PNG, name="a.png", kind="image/png")
    _, private = await sent(shop, lin, "/api/files/upload", PNG, name="a.png", kind="image/png")
    for token, url, status in (
        (lin, avatar["avatarUrl"], 400),
        (lin, private["url"], 400),
        (mei, avatar["avatarUrl"], 200),
    ):
        got = await shop.ask("PUT", "/api/auth/profile", {"avatarUrl": url}, token=token)
        assert got.status == status


@ONE_DATABASE
@pytest.mark.parametrize("path", ["/api/files/upload", "/api/users/avatar"])
async def test_A134_uploads_are_checked_by_type_and_size(shop: Shop, path: str) -> None:
    token = await shop.token()
    for data, name, kind in (
        (b"<svg onload=alert(1)>", "a.svg", "image/svg+xml"),
        (b"<script>alert(1)</script>", "a.png", "image/png"),
        (PNG, "a.php", "image/png"),
        (PNG, "a.png", "text/html"),
    ):
        status, body = await sent(shop, token, path, data, name=name, kind=kind)
        assert (status, body["code"]) == (415, "UNSUPPORTED_MEDIA")


@ONE_DATABASE
async def test_A134_uploads_have_a_largest_size(shop: Shop) -> None:
    token = await shop.token()
    too_much = PNG + b"\0" * shop.settings.avatar_bytes_max
    status, body = await sent(shop, token, "/api/users/avatar", too_much, name="a.png", kind="image/png")
    assert (status, body["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_A134_a_file_is_its_owners(shop: Shop) -> None:
    mei, lin = await shop.token("mei"), await shop.token("lin")
    _, file = await sent(shop, mei, "/api/files/upload", PNG, name="a.png", kind="image/png")
    for token, status in ((lin, 404), ("", 404), (mei, 200)):
        got = await shop.served.client.get(file["url"], headers={"Authorization": f"Bearer {token}"} if token else {})
        assert got.status == status
        got.release()
    assert (await shop.ask("DELETE", file["url"], token=lin)).status == 404
    assert (await shop.ask("DELETE", file["url"], token=mei)).status == 200
    assert (await shop.ask("GET", "/api/files", token=lin)).body["files"] == []


def test_A134_no_route_for_files_is_open_to_everyone_but_those_that_are_signed_or_public() -> None:
    routes = {(one.method, one.path): one.auth for one in ENDPOINTS if one.path.startswith("/api/files")}
    assert {route for route, auth in routes.items() if auth not in {"user", "admin"}} == {
        ("GET", "/api/files/{fileId}"),
        ("POST", "/api/files/uploads/{uploadId}/content"),
    }
