"""What jobs have made, when files are in a bucket."""

import pytest

from atelier.generation import artifacts
from atelier.providers.contract import GenerationResult, Output
from tests.files import samples
from tests.files.conftest import IN_A_BUCKET, ONE_DATABASE, Shop


@ONE_DATABASE
@IN_A_BUCKET
@pytest.mark.parametrize(
    "case",
    [
        ("image", "image/png", samples.picture("PNG"), "inline"),
        ("video", "video/mp4", samples.film("mp4", "libx264"), "inline"),
        ("text", "text/html", b"<script>alert(1)</script>" + b" " * artifacts.INLINE_BYTES_MAX, "attachment"),
    ],
)
async def test_an_output_is_read_by_a_signed_link(shop: Shop, case: tuple[str, str, bytes, str]) -> None:
    kind, content_type, data, verb = case
    assert shop.oss
    me = shop.world.person()
    job = shop.world.job(me, kind=kind)
    shop.world.claim(job)
    made = GenerationResult(outputs=(Output(type=kind, content_type=content_type, data=data),))
    kept = artifacts.keep(shop.storage, made, folder=f"outputs/{job}/1")
    shop.world.finish(job, result=kept)
    (key,) = shop.keys(f"outputs/{job}")
    assert key.startswith(f"outputs/{job}/1/0.")
    assert shop.oss.objects[f"atelier/{key}"].content_type == content_type
    result = await shop.ask("GET", f"/api/jobs/{job}/result", me)
    (output,) = result.body["outputs"]
    assert "key" not in output
    way = await shop.ask("GET", output["url"], follow=False)
    assert (way.status, way.headers["Cache-Control"]) == (302, "private, max-age=300")
    got = await shop.ask("GET", way.headers["Location"])
    assert (got.status, got.body) == (200, data)
    assert got.headers["Content-Type"].startswith(content_type)
    assert got.headers["Content-Disposition"].startswith(f'{verb}; filename="{job}-0.')
    part = await shop.ask("GET", way.headers["Location"], headers={"Range": "bytes=1-3"})
    assert (part.status, part.body) == (206, data[1:4])
    shop.oss.later_s = 700
    assert (await shop.ask("GET", way.headers["Location"])).status == 403
