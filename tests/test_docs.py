"""What the documents say exists: links, make targets, commands, settings, routes and file names."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from atelier.kernel.settings import Settings
from tools.settings_page import variables
from web.routes import ENDPOINTS

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(#[\w-]+)?\)")
MAKE = re.compile(r"`make ([a-z]+)|^\$ make ([a-z]+)", re.MULTILINE)
MODULE = re.compile(r"python -m ([a-z_.]+)")
CLI = re.compile(r"(?:`|bin/)atelier ([a-z]+)")
VARIABLE = re.compile(r"\b(ATELIER_[A-Z_]+)\b")
ROUTE = re.compile(r"`(?:(?:GET|POST|PUT|PATCH|DELETE) )?(/api/[\w/{}.-]+)")
SOURCE = re.compile(r"`((?:platform|web|tasks|schedules|sandbox|tests|benchmarks|tools|kernel|dispatch)/[\w/.-]+\.py)`")
# Read by what starts the roles and by tests, not by the settings: what they mean stands where they are read.
OUTSIDE = re.compile(r"ATELIER_(FAULT|STORM_\w+|TEST_\w+|ENV)")


def _ids(document: Path) -> str:
    return str(document.relative_to(ROOT))


documents = pytest.mark.parametrize("document", DOCUMENTS, ids=_ids)


@documents
def test_links_lead_somewhere(document: Path) -> None:
    targets = [target for target, _ in LINK.findall(document.read_text("utf-8"))]
    assert [target for target in targets if not (document.parent / target).exists()] == []


@documents
def test_commands_exist(document: Path) -> None:
    text = document.read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert {one or other for one, other in MAKE.findall(text)} - targets == set()
    assert [name for name in MODULE.findall(text) if not _is_module(name.rstrip("."))] == []


def test_commands_of_the_command_line_exist() -> None:
    told = {name for document in DOCUMENTS for name in CLI.findall(document.read_text("utf-8"))}
    command = [sys.executable, "-m", "atelier.cli", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert {name for name in told if not re.search(rf"\b{name}\b", shown)} == set()


@documents
def test_settings_exist(document: Path) -> None:
    known = {name for field in Settings.model_fields.items() for name in variables(*field)}
    known |= {f"{name}_FILE" for name in known}
    told = {name for name in VARIABLE.findall(document.read_text("utf-8")) if not OUTSIDE.fullmatch(name)}
    assert told - known == set()


@documents
def test_routes_exist(document: Path) -> None:
    known = {re.sub(r"\{\w+\}", "{}", endpoint.path) for endpoint in ENDPOINTS}
    told = {re.sub(r"\{\w+\}", "{}", path) for path in ROUTE.findall(document.read_text("utf-8"))}
    assert told - known == set()


@documents
def test_files_exist(document: Path) -> None:
    assert [path for path in _sources(document.read_text("utf-8")) if not _exists(path)] == []


def _sources(text: str) -> Iterator[str]:
    yield from SOURCE.findall(text)


def _exists(path: str) -> bool:
    return (ROOT / path).exists() or (ROOT / "platform" / "atelier" / path).exists()


def _is_module(name: str) -> bool:
    place = ROOT / name.replace(".", "/")
    return place.is_dir() or place.with_suffix(".py").exists() or name.startswith(("pytest", "pip", "venv"))
