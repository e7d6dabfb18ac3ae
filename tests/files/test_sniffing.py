"""What a file is, by what it holds; and whether that is what it claims to be."""

import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.files import media, sniffing
from atelier.files.errors import UnsupportedMedia
from tests.files import samples

TEXTS = set(sniffing.TEXT)


def types(data: bytes) -> tuple[str, ...]:
    return sniffing.types(io.BytesIO(data))


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (samples.picture("PNG"), "image/png"),
        (samples.picture("JPEG"), "image/jpeg"),
        (samples.picture("WEBP"), "image/webp"),
        (samples.animation("GIF"), "image/gif"),
        (samples.sound("mp3", "libmp3lame"), "audio/mpeg"),
        (samples.sound("wav", "pcm_s16le"), "audio/wav"),
        (samples.sound("ogg", "libopus", rate=48_000), "audio/ogg"),
        (samples.sound("flac", "flac"), "audio/flac"),
        (samples.sound("ipod", "aac"), "audio/mp4"),
        (samples.film("mp4", "libx264"), "video/mp4"),
        (samples.film("webm", "libvpx-vp9"), "video/webm"),
        (samples.PDF, "application/pdf"),
        ("纯文本\r\n".encode(), "text/plain"),
        (b"\xef\xbb\xbfname,price\n", "text/plain"),
    ],
)
def test_every_kind_is_recognised(data: bytes, kind: str) -> None:
    assert types(data)[0] == kind


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<!DOCTYPE html><p>",
        b"  \n<HTML>",
        b"\xef\xbb\xbf<svg onload=alert(1)>",
        b"<?xml version='1.0'?><svg/>",
        b"<!-- a --><!-- b --> <script>alert(1)</script>",
        b"\xff\xfe<\0h\0t\0m\0l\0>\0",
        b"MZ\x90\0" + b"\0" * 100,
        b"\x7fELF\x02\x01\x01\0",
        b"PK\x03\x04" + b"\0" * 60,
        b"#!/bin/sh\necho \x1b[2J",
        b"half a character \xe4\xbd",
        b"\x00\x00\x00\x18ftypqt  \0\0\0\0",
        b"\x00\x00\x00\x18ftypheic\0\0\0\0",
        samples.film("matroska", "libx264"),
        samples.film("avi", "mpeg4"),
        samples.sound("adts", "aac"),
        b"\xff\xfb\x90\x00" + b"\0" * 2_000,
        b"ID3\x04\0\0\x7f\x7f\x7f\x7f",
        b"ID3\xff\xff\xff\xff\xff\xff\xff",
        b"OggS" + b"\0" * 24 + b"\x80theora",
        b"RIFF\0\0\0\0AVI LIST",
    ],
)
def test_what_is_not_kept_is_not_recognised(data: bytes) -> None:
    assert types(data) == ()


def test_a_control_character_anywhere_makes_it_no_text() -> None:
    assert types(b"x" * 3_000_000 + b"\x00") == ()
    assert types("画".encode() * 1_000_000) == sniffing.TEXT, "characters are whole over the edges of chunks"


@given(st.binary(max_size=300))
def test_anything_is_looked_at_without_an_error(data: bytes) -> None:
    found = types(data)
    assert set(found) <= set(media.KINDS)


@given(
    st.sampled_from([b"\xff\xfb\x90\x00", b"ID3\x03\0\0\0\0\0\x0a", b"RIFF", b"OggS", b"\x1aE\xdf\xa3"]), st.binary()
)
def test_a_beginning_alone_crashes_nothing(head: bytes, data: bytes) -> None:
    types(head + data)


def test_a_text_of_a_thousand_comments_is_decided_at_once() -> None:
    begun = time.monotonic()
    assert types(b"<!---->" * 580 + b"x") == sniffing.TEXT
    assert time.monotonic() - begun < 5  # it would be minutes if each comment were looked at from the beginning


# -- claims


def agreed(data: bytes, *, name: str = "", content_type: str = "") -> str:
    return media.agreed(types(data), media.claim(name=name, content_type=content_type))


@pytest.mark.parametrize(
    ("name", "content_type", "kind"),
    [
        ("a.md", "text/plain", "text/markdown"),
        ("a.csv", "application/vnd.ms-excel", "text/csv"),
        ("a.json", "application/json; charset=utf-8", "application/json"),
        ("A.TXT", "TEXT/PLAIN", "text/plain"),
        ("a", "text/markdown", "text/markdown"),
        ("a.csv", "application/octet-stream", "text/csv"),
        ("a", "", "text/plain"),
        (".gitignore", "", "text/plain"),
    ],
)
def test_a_text_is_what_it_is_called(name: str, content_type: str, kind: str) -> None:
    assert agreed(b"plain", name=name, content_type=content_type) == kind


def test_a_film_without_pictures_is_a_sound_if_it_says_so() -> None:
    film = samples.film("mp4", "libx264")
    assert agreed(film, name="a.m4a", content_type="audio/x-m4a") == "audio/mp4"
    assert agreed(film, name="a.mp4") == "video/mp4"
    assert agreed(film) == "video/mp4"


@pytest.mark.parametrize(
    ("name", "content_type", "reason"),
    [
        ("a.svg", "image/svg+xml", "extension"),
        ("a.html", "text/html", "extension"),
        ("a.png.exe", "image/png", "extension"),
        ("a.png", "text/html", "type"),
        ("a", "image/svg+xml", "type"),
        ("a.png", "image/jpeg", "mismatch"),
        ("a.txt", "text/markdown", "mismatch"),
        ("a.jpg", "", "mismatch"),
        ("a", "image/webp", "mismatch"),
        ("a.pdf", "application/pdf", "mismatch"),
    ],
)
def test_a_claim_that_does_not_hold_is_refused(name: str, content_type: str, reason: str) -> None:
    with pytest.raises(UnsupportedMedia) as caught:
        agreed(samples.picture("PNG"), name=name, content_type=content_type)
    assert caught.value.details == {"reason": reason}


def test_what_is_nothing_is_refused_whatever_it_claims() -> None:
    with pytest.raises(UnsupportedMedia) as caught:
        agreed(b"MZ\x90\0", name="a.png", content_type="image/png")
    assert caught.value.details == {"reason": "content"}
