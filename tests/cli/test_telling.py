"""What is said about roles that end, and about results that are not what they should be."""

import wave
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from atelier.cli import demo_files
from atelier.cli.console import Bug, Stop
from atelier.cli.failures import as_stop
from atelier.cli.news import News
from atelier.kernel.errors import Invalid
from atelier.supervisor.keeper import Change


def failed(failures: int, *, kind: str = "failed", status: int = 3) -> Change:
    ended = Change(role="relay", kind="failed", pid=1, status=status, wait=0.2, failures=failures)
    return (
        ended if kind == "failed" else Change(role="relay", kind="abandoned", pid=1, status=status, failures=failures)
    )


def test_a_role_that_keeps_ending_is_mentioned_a_few_times(capsys: pytest.CaptureFixture[str]) -> None:
    news = News(verbose=False)
    for number in range(1, 50):
        news.ended(failed(number), last_lines=["first words", "last words"])
    said = capsys.readouterr().out
    assert said.count("relay") == 4
    assert "logs/relay.log" in said
    assert (said.count("last words"), said.count("first words")) == (3, 0)


def test_a_signal_is_named_and_a_role_that_is_given_up_too(capsys: pytest.CaptureFixture[str]) -> None:
    news = News(verbose=False)
    news.ended(failed(1, status=-9), last_lines=["words"])
    news.ended(failed(9, kind="abandoned"), last_lines=[])
    killed, abandoned = capsys.readouterr().out.splitlines()
    assert "SIGKILL" in killed
    assert "relay" in abandoned


def test_everything_is_shown_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    for verbose in (False, True):
        News(verbose=verbose).printed("web", "a [bold]line[/bold]")
    assert capsys.readouterr().out.split() == ["web", "a", "[bold]line[/bold]"]


def tiny_image(path: Path) -> None:
    Image.new("RGB", (2000, 1023)).save(path)


def empty_sound(path: Path) -> None:
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 44_100, 0, "NONE", "not compressed"))


BAD_RESULTS: list[tuple[str, Callable[[Path], object], Callable[[Path], str]]] = [
    ("short.md", lambda path: path.write_text("字" * 199), demo_files.text),
    ("wrong.md", lambda path: path.write_bytes(b"\xff" * 300), demo_files.text),
    ("tiny.png", tiny_image, demo_files.image),
    ("torn.png", lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"), demo_files.image),
    ("empty.wav", empty_sound, demo_files.audio),
    ("text.wav", lambda path: path.write_text("words"), demo_files.audio),
    ("text.mp4", lambda path: path.write_text("words"), demo_files.video),
]


@pytest.mark.parametrize(("name", "make", "check"), BAD_RESULTS)
def test_a_result_that_is_not_what_it_should_be_fails_the_demo(
    name: str, make: Callable[[Path], object], check: Callable[[Path], str], tmp_path: Path
) -> None:
    given = tmp_path / f"given-{name}"
    make(given)
    with pytest.raises(Stop, match=name):
        demo_files.save(tmp_path / "made" / name, given.read_bytes(), check=check)


@pytest.mark.parametrize(
    ("error", "words", "status"),
    [
        (Invalid([{"path": ["email"], "message": "no address", "code": "email"}]), "email: no address", 1),
        (FileNotFoundError(2, "No such file or directory", "/some/file"), "/some/file: No such file", 1),
        (ValueError("several\nlines"), "ValueError: several lines", 70),
    ],
)
def test_every_failure_is_a_sentence(error: Exception, words: str, status: int) -> None:
    stop = as_stop(error)
    assert words in stop.message
    assert "\n" not in stop.message
    assert (stop.exit_code, isinstance(stop, Bug)) == (status, status == 70)
