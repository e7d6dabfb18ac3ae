"""What users call files is shown and never used."""

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.files import names
from atelier.kernel.ids import new_id
from atelier.storage.local import KEY


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("图 片.png", "图 片.png"),
        ("../../etc/passwd", "passwd"),
        (r"C:\Users\mei\a.png", "a.png"),
        ("a\x00b\r\nSet-Cookie: x.png", "ab Set-Cookie x.png"),
        ("\u202egnp.exe", "gnp.exe"),
        ('"><script>.png', "script.png"),
        ("", "file"),
        ("...", "file"),
        ("/", "file"),
        ("\ud800.png", "png"),
        ("e\u0301.txt", "é.txt"),
        ("x" * 300 + ".png", "x" * 196 + ".png"),
    ],
)
def test_a_name_is_one_harmless_line(raw: str, shown: str) -> None:
    assert names.shown(raw) == shown


@given(st.text(max_size=400))
def test_whatever_it_was(raw: str) -> None:
    name = names.shown(raw)
    assert 0 < len(name) <= names.NAME_MAX
    assert not re.search(r"[\x00-\x1f\x7f/\\\"<>\u202a-\u202e]", name)
    assert name.encode()
    header = names.disposition("inline", name)
    assert header.isascii()
    assert header.isprintable()
    assert unquote(header.rpartition("filename*=UTF-8''")[2]) == name


def test_a_name_without_an_ending_gets_that_of_its_type() -> None:
    assert names.completed("photo", "image/jpeg") == "photo.jpg"
    assert names.completed("a.b", "image/png") == "a.b"
    assert len(names.completed("x" * 200, "text/markdown")) <= names.NAME_MAX


def test_keys_are_ours_in_order_and_not_to_be_guessed() -> None:
    made = [names.new_key(names.FILES, content_type="image/png") for _ in range(50)]
    assert made == sorted(made)
    assert all(KEY.fullmatch(one) and names.is_key(one) and len(one) <= 100 for one in made)
    assert len({one.rpartition("-")[2] for one in made}) == 50
    assert not names.is_key("files/0193ab/mine.png")
    assert names.floor(names.FILES, 0) < made[0] < names.floor(names.FILES, 2**47)


def test_our_own_paths_are_told_from_other_addresses() -> None:
    file_id = new_id()
    assert names.own_id(names.url(file_id)) == file_id
    for other in (
        None,
        "",
        "https://x.y/a.png",
        "/api/files/1",
        f"/api/files/{file_id}/x",
        f"https://x/api/files/{file_id}",
    ):
        assert names.own_id(other) is None
