"""Whatever is wrong with a package is named by file and field, costs little, and leaves nothing behind."""

import io
import json
import stat
import struct
import time
import zipfile
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.catalog import packages, yaml_documents
from atelier.kernel.errors import Invalid
from tests.authoring.conftest import Studio
from tests.authoring.test_packages import EXAMPLE, MANIFEST, YAML, picture, upload, zipped
from tests.live.harness import Person


def package(files: dict[str, Any] | None = None, *, packed: int = zipfile.ZIP_DEFLATED, **changes: Any) -> bytes:
    """A good package with a manifest of these changes, and these files beside it."""
    return zipped({"manifest.json": {**MANIFEST, **changes}, **(files or {})}, packed=packed)


def linked() -> bytes:
    link = zipfile.ZipInfo("icon.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as archive:
        archive.writestr("manifest.json", json.dumps(MANIFEST))
        archive.writestr(link, "/etc/passwd")
    return into.getvalue()


def encrypted() -> bytes:
    raw = bytearray(package())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(signature) + place] |= 1
    return bytes(raw)


def doubled() -> bytes:
    return package({"manifest.jsom": MANIFEST}).replace(b"manifest.jsom", b"manifest.json")


def bomb(size: int) -> bytes:
    return zipped({"manifest.json": b'{"name":"' + b" " * size + b'"}'})


def lying() -> bytes:
    """A bomb that says that it has ten bytes."""
    raw = bytearray(bomb(20_000_000))
    struct.pack_into("<I", raw, raw.index(b"PK\x01\x02") + 24, 10)
    return bytes(raw)


def damaged() -> bytes:
    """An archive whose packed bytes can't be unpacked."""
    raw = bytearray(package())
    raw[raw.index(b"manifest.json") + len(b"manifest.json")] = 0x07
    return bytes(raw)


def nameless() -> bytes:
    """An archive with a file that has no name."""
    raw = bytearray(package())
    entry = raw.index(b"PK\x01\x02")
    struct.pack_into("<HH", raw, entry + 28, 0, len(b"manifest.json"))
    return bytes(raw)


# What is sent: not made before it is needed, because bombs take a second.


def unreadable() -> tuple[tuple[str, bytes, str, str], ...]:
    return (
        ("nothing", b"\n", "manifest.yaml", "yaml_invalid"),
        ("no YAML", b"a: b: c", "manifest.yaml", "yaml_invalid"),
        ("no JSON", b'{"name": ', "manifest.json", "json_invalid"),
        ("no object", b"- a\n- b", "manifest.yaml", "dict_type"),
        ("no text", b"\xff\xfe\x00\x01", "manifest.yaml", "yaml_invalid"),
        ("a control character", b"a: \x00", "manifest.yaml", "yaml_invalid"),
        ("aliases", b"a: &x [1]\nb: [*x, *x]", "manifest.yaml", "yaml_invalid"),
        ("objects", b"a: !!python/object/apply:os.system [id]", "manifest.yaml", "yaml_invalid"),
        ("a key twice", b"a: 1\na: 2", "manifest.yaml", "yaml_invalid"),
        ("two documents", b"a: 1\n---\na: 2", "manifest.yaml", "yaml_invalid"),
        ("deep YAML", b"[" * 60_000, "manifest.yaml", "yaml_invalid"),
        ("deep JSON", b'{"a":' * 20_000, "manifest.json", "json_invalid"),
        ("half a character", b'{"name": "\\ud800"}', "manifest.json", "json_invalid"),
        ("half a character in YAML", b'name: "\\ud800"', "manifest.yaml", "string_unicode"),
        ("long YAML", b"a: " + b"x" * 70_000, "manifest.yaml", "yaml_invalid"),
        ("long JSON", b'{"a": "' + b"x" * 300_000 + b'"}', "manifest.json", "json_too_large"),
        ("a broken archive", b"PK\x03\x04" + b"x" * 100, "package", "package_broken"),
        ("half an archive", package()[:-30], "package", "package_broken"),
        ("a damaged archive", damaged(), "package", "package_broken"),
        ("a file without a name", nameless(), "package", "package_broken"),
        ("a bomb", bomb(200_000_000), "manifest.json", "json_too_large"),
        ("a bomb that lies", lying(), "package", "package_broken"),
        ("no manifest", zipped({"icon.png": picture()}), "manifest", "missing"),
        ("two manifests", package({"manifest.yaml": YAML}), "manifest.yaml", "package_duplicate"),
        ("one manifest twice", doubled(), "manifest.json", "package_duplicate"),
        ("a way out", package({"../../etc/cron.d/x": b"x"}), "../../etc/cron.d/x", "package_unsafe"),
        ("a way around", package({"examples/../../x": b"x"}), "examples/../../x", "package_unsafe"),
        ("a root", package({"/etc/passwd": b"x"}), "/etc/passwd", "package_unsafe"),
        ("a drive", package({"C:/x": b"x"}), "C:/x", "package_unsafe"),
        ("a link", linked(), "icon.png", "package_unsafe"),
        ("a password", encrypted(), "manifest.json", "package_unsafe"),
        ("another packing", package(packed=zipfile.ZIP_LZMA), "manifest.json", "package_unsafe"),
        ("a program", package({"run.sh": b"x"}), "run.sh", "extra_forbidden"),
        ("a deeper example", package({"examples/a/b.json": b"{}"}), "examples/a/b.json", "extra_forbidden"),
        ("many files", package({f"examples/{n}.json": b"{}" for n in range(80)}), "package", "too_long"),
        ("a large icon", package({"icon.png": b"x" * 2_200_000}), "icon.png", "json_too_large"),
        ("a large example", package({"examples/x.json": b"x" * 40_000}), "examples/x.json", "json_too_large"),
    )


def wrong() -> tuple[tuple[bytes, dict[str, str]], ...]:
    return (
        (package(name=5), {"manifest.json.name": "string_type"}),
        (package(status="published"), {"manifest.json.status": "extra_forbidden"}),
        (
            package(runtime={"provider": "local-image", "apiKey": "k"}),
            {"manifest.json.runtime.apiKey": "extra_forbidden"},
        ),
        (package(priceType="free"), {"manifest.json.creditsPerUse": "price_unused"}),
        (
            package({"examples/x.json": {**EXAMPLE, "config": {"width": 1}}}, examples=[EXAMPLE]),
            {"examples/x.json.config.width": "greater_than_equal"},
        ),
        (package({"examples/x.yaml": "inputData: {}"}), {"examples/x.yaml.title": "missing"}),
        (package(examples=[{"title": "t"}]), {"manifest.json.examples.0.inputData": "missing"}),
        (package({"examples/x.json": EXAMPLE}, examples="none"), {"manifest.json.examples": "list_type"}),
    )


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_whatever_is_wrong_is_named_and_leaves_nothing(studio: Studio, creator: Person) -> None:
    cases = [(what, raw, {place: code}) for what, raw, place, code in unreadable()]
    for what, raw, expected in (*cases, *((str(expected), raw, expected) for raw, expected in wrong())):
        began = time.monotonic()
        got = await upload(studio, raw, name="agent", who=creator)
        assert (got.status, got.body["code"]) == (400, "VALIDATION_FAILED"), (what, got.body)
        assert got.wrong.items() >= expected.items(), (what, got.body)
        assert all(one["message"] for one in got.body["details"])
        assert time.monotonic() - began < 10, what
    assert (await studio.ask("GET", "/api/agents/mine", who=creator)).body["agents"] == []
    assert (await studio.ask("GET", "/api/files", who=creator)).body["files"] == []


# JSON writes characters beyond these as two escapes, which YAML takes for two characters.
WORDS = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=12)


@given(raw=st.binary(max_size=400))
def test_no_bytes_at_all_surprise_the_reader(raw: bytes) -> None:
    for head in (b"", b"{", packages.ZIP_HEAD):
        # Whatever they are, they are a package, or an input that is refused.
        with suppress(Invalid):
            packages.read(io.BytesIO(head + raw), name="x")


@given(
    document=st.recursive(
        st.none() | st.booleans() | st.integers(-(10**18), 10**18) | WORDS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
        max_leaves=12,
    )
)
def test_json_is_yaml_and_means_the_same(document: Any) -> None:
    text = json.dumps(document, ensure_ascii=True)
    assert yaml_documents.load(text.encode()) == document
