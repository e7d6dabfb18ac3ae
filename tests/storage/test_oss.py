"""The OSS driver over HTTP, against an endpoint that verifies signatures as the real one does."""

import logging
from typing import Any

import httpx
import pytest

from atelier.kernel import clock
from atelier.storage.fake_oss import FakeOss, Fault
from atelier.storage.oss import OssStorage
from atelier.storage.port import FileMissing, Form, StorageUnavailable
from tests.storage.conftest import Open

KEY = "files/0193ab/0193ab-1.png"
DATA = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 300


def send(form: Form, data: bytes, **changes: str) -> httpx.Response:
    """POST the form as a browser does."""
    return httpx.post(form.url, data={**form.fields, **changes}, files={"file": ("me.png", data, "image/png")})


def made(bucket: OssStorage, **changes: Any) -> Form:
    now = clock.now_ms()
    wanted: dict[str, Any] = {"content_type": "image/png", "size": len(DATA), "now_ms": now, "expires_ms": now + 60_000}
    form = bucket.form(KEY, **{**wanted, **changes})
    assert form
    return form


def code(response: httpx.Response) -> str:
    return response.text.partition("<Code>")[2].partition("</Code>")[0]


# -- signatures


def test_another_secret_opens_nothing(oss: FakeOss, bucket: OssStorage, open_bucket: Open) -> None:
    bucket.put(KEY, DATA)
    stranger = open_bucket(key_secret="another")
    for act in (
        lambda: stranger.put("files/x", b"x"),
        lambda: stranger.open(KEY),
        lambda: stranger.delete(KEY),
        lambda: stranger.keys("files", limit=5),
        stranger.check,
    ):
        with pytest.raises(StorageUnavailable, match="403 SignatureDoesNotMatch"):
            act()
    with pytest.raises(StorageUnavailable, match="403"):
        stranger.size(KEY)  # A HEAD is refused without a word of why.
    assert list(oss.objects) == [KEY]


def test_another_key_another_region_and_another_bucket_are_refused(open_bucket: Open, region: str) -> None:
    with pytest.raises(StorageUnavailable, match="403 InvalidAccessKeyId"):
        open_bucket(key_id="nobody").put(KEY, b"x")
    with pytest.raises(StorageUnavailable, match="404 NoSuchBucket"):
        open_bucket(bucket="elsewhere").open(KEY)
    if region:
        with pytest.raises(StorageUnavailable, match="403 SignatureDoesNotMatch"):
            open_bucket(region="cn-beijing").put(KEY, b"x")


def test_what_is_refused_is_not_tried_again(oss: FakeOss, open_bucket: Open) -> None:
    with pytest.raises(StorageUnavailable):
        open_bucket(key_secret="another").put(KEY, b"x")
    assert oss.calls == [f"PUT {KEY}"]


def test_a_clock_that_is_wrong_is_refused(oss: FakeOss, bucket: OssStorage) -> None:
    oss.later_s = 16 * 60
    with pytest.raises(StorageUnavailable, match="RequestTimeTooSkewed"):
        bucket.put(KEY, b"x")
    oss.later_s = 14 * 60
    bucket.put(KEY, b"x")


def test_nobody_reads_without_a_signature(oss: FakeOss, bucket: OssStorage) -> None:
    bucket.put(KEY, DATA)
    assert code(httpx.get(f"{oss.endpoint}/{oss.bucket}/{KEY}")) == "AccessDenied"
    assert code(httpx.put(f"{oss.endpoint}/{oss.bucket}/{KEY}", content=b"x")) == "AccessDenied"
    assert oss.objects[KEY].data == DATA


# -- signed links


def link(bucket: OssStorage, seconds: int = 600) -> str:
    url = bucket.link(
        KEY, seconds=seconds, content_type="image/png", disposition="inline; filename*=UTF-8''%E5%9B%BE.png"
    )
    assert url
    return url


def test_a_signed_link_gives_the_file_with_the_headers_it_names_and_ranges(bucket: OssStorage) -> None:
    bucket.put(KEY, DATA, content_type="application/x-wrong")
    got = httpx.get(link(bucket))
    assert (got.status_code, got.content) == (200, DATA)
    assert got.headers["Content-Type"] == "image/png"
    assert got.headers["Content-Disposition"] == "inline; filename*=UTF-8''%E5%9B%BE.png"
    part = httpx.get(link(bucket), headers={"Range": "bytes=8-15"})
    assert (part.status_code, part.content) == (206, DATA[8:16])
    assert part.headers["Content-Range"] == f"bytes 8-15/{len(DATA)}"
    assert httpx.get(link(bucket), headers={"Range": f"bytes={len(DATA)}-"}).status_code == 416


def test_a_link_ends(oss: FakeOss, bucket: OssStorage) -> None:
    bucket.put(KEY, DATA)
    url = link(bucket)
    oss.later_s = 540  # the machine may take its time to ask
    assert httpx.get(url).status_code == 200
    oss.later_s = 602
    refused = httpx.get(url)
    assert (refused.status_code, code(refused)) == (403, "AccessDenied")
    assert "expired" in refused.text


def test_a_link_is_for_one_file_one_method_and_its_own_headers(bucket: OssStorage) -> None:
    bucket.put(KEY, DATA)
    bucket.put("files/secret", b"secret")
    url = link(bucket)
    for forged in (url.replace(KEY, "files/secret"), url.replace("inline", "attachment"), url.replace("image", "text")):
        refused = httpx.get(forged)
        assert (refused.status_code, code(refused)) == (403, "SignatureDoesNotMatch"), forged
    assert httpx.put(url, content=b"mine now").status_code == 403
    assert httpx.delete(url).status_code == 403


# -- what browsers send


def test_a_form_sends_one_file(oss: FakeOss, bucket: OssStorage, region: str) -> None:
    form = made(bucket)
    assert form.url == f"{oss.endpoint}/{oss.bucket}/"
    assert oss.keeper.key_secret not in str(form)
    assert ("x-oss-signature" in form.fields) == bool(region)
    assert send(form, DATA).status_code == 204
    assert (oss.objects[KEY].data, oss.objects[KEY].content_type) == (DATA, "image/png")


@pytest.mark.parametrize(
    ("changes", "more", "wanted"),
    [
        ({"key": "files/elsewhere"}, 0, (403, "AccessDenied")),
        ({"Content-Type": "text/html"}, 0, (403, "AccessDenied")),
        ({"success_action_status": "200"}, 0, (403, "AccessDenied")),
        ({}, 1, (400, "EntityTooLarge")),
        ({}, -1, (400, "EntityTooSmall")),
        ({"policy": "e30="}, 0, (403, "SignatureDoesNotMatch")),
    ],
)
def test_a_form_sends_nothing_else(
    bucket: OssStorage, changes: dict[str, str], more: int, wanted: tuple[int, str]
) -> None:
    refused = send(made(bucket), (DATA + b"x" * more)[: len(DATA) + more], **changes)
    assert (refused.status_code, code(refused)) == wanted
    with pytest.raises(FileMissing):
        bucket.size(KEY)


def test_a_form_ends_and_needs_the_right_secret(oss: FakeOss, bucket: OssStorage, open_bucket: Open) -> None:
    forged = send(made(open_bucket(key_secret="another")), DATA)
    assert (forged.status_code, code(forged)) == (403, "SignatureDoesNotMatch")
    form = made(bucket)
    oss.later_s = 61
    late = send(form, DATA)
    assert (late.status_code, code(late)) == (403, "AccessDenied")
    assert "Policy expired" in late.text
    assert oss.objects == {}


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("https://oss-cn-hangzhou.aliyuncs.com", "https://pictures.oss-cn-hangzhou.aliyuncs.com/"),
        ("oss-cn-hangzhou.aliyuncs.com", "http://pictures.oss-cn-hangzhou.aliyuncs.com/"),
        ("http://localhost:9", "http://localhost:9/pictures/"),
    ],
)
def test_a_form_goes_to_the_buckets_own_host(open_bucket: Open, endpoint: str, url: str) -> None:
    assert made(open_bucket(public_endpoint=endpoint, bucket="pictures")).url == url


# -- what goes wrong on the way


def test_a_connection_that_breaks_in_mid_upload_is_tried_again_from_the_beginning(
    oss: FakeOss, bucket: OssStorage
) -> None:
    oss.faults += [Fault(kind="break", after=1_000), Fault(kind="break", after=50_000)]
    bucket.put(KEY, DATA)
    assert oss.objects[KEY].data == DATA
    assert len(oss.calls) == 3


def test_it_is_not_tried_for_ever(oss: FakeOss, bucket: OssStorage) -> None:
    oss.faults += [Fault(kind="break", after=1_000)] * 4
    with pytest.raises(StorageUnavailable):
        bucket.put(KEY, DATA)
    assert (len(oss.calls), oss.objects) == (3, {})


def test_an_overloaded_service_is_asked_again(oss: FakeOss, bucket: OssStorage) -> None:
    for act in (
        lambda: bucket.put(KEY, DATA),
        lambda: bucket.size(KEY),
        lambda: bucket.keys("files", limit=3),
        lambda: bucket.open(KEY).close(),
        lambda: bucket.delete(KEY),
    ):
        oss.faults += [Fault(kind="status", status=503), Fault(kind="status", status=500, code="InternalError")]
        act()
    assert oss.faults == []


def test_an_answer_that_is_lost_is_asked_for_again(oss: FakeOss, bucket: OssStorage) -> None:
    oss.faults.append(Fault(kind="lost"))
    bucket.put(KEY, DATA)
    oss.faults.append(Fault(kind="lost"))
    bucket.delete(KEY)
    assert oss.objects == {}


def test_what_was_damaged_on_its_way_is_not_kept(oss: FakeOss, bucket: OssStorage) -> None:
    oss.faults.append(Fault(kind="damage"))
    with pytest.raises(StorageUnavailable, match="400 InvalidDigest"):
        bucket.put(KEY, DATA)
    assert oss.objects == {}


@pytest.mark.parametrize("fault", [Fault(kind="damage", method="GET"), Fault(kind="break", method="GET", after=4_000)])
def test_a_download_that_is_damaged_or_broken_off_is_told(oss: FakeOss, bucket: OssStorage, fault: Fault) -> None:
    bucket.put(KEY, DATA)
    oss.faults.append(fault)
    with bucket.open(KEY) as file, pytest.raises(StorageUnavailable):
        file.read()
    with bucket.open(KEY) as file:
        assert file.read() == DATA


def test_silence_ends(oss: FakeOss, open_bucket: Open) -> None:
    oss.faults += [Fault(kind="silence")] * 2
    with pytest.raises(StorageUnavailable, match="Timeout"):
        open_bucket(read_seconds=0.1, tries=2).put(KEY, DATA)
    with pytest.raises(StorageUnavailable):
        open_bucket(endpoint="http://127.0.0.1:9", tries=1).check()


def test_the_check_asks_once(oss: FakeOss, bucket: OssStorage) -> None:
    oss.faults.append(Fault(kind="status"))
    with pytest.raises(StorageUnavailable, match="503"):
        bucket.check()
    bucket.check()
    assert oss.calls == ["PUT health/probe"] * 2


def test_a_missing_object_is_told_from_a_failing_service(oss: FakeOss, bucket: OssStorage) -> None:
    with pytest.raises(FileMissing):
        bucket.open(KEY)
    oss.faults += [Fault(kind="status")] * 3
    with pytest.raises(StorageUnavailable):
        bucket.open(KEY)


def test_no_log_and_no_error_holds_the_secret_or_a_signature(
    oss: FakeOss, bucket: OssStorage, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        oss.faults += [Fault(kind="status")] * 3
        with pytest.raises(StorageUnavailable) as caught:
            bucket.put(KEY, DATA)
    told = caplog.text + str(caught.value) + repr(bucket.__dict__["_options"])
    assert oss.keeper.key_secret not in told
    assert "Signature=" not in told
