"""The shape of the project: sizes, names, and what no file may say. `make check` runs this before anything else."""

import ast
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("platform", "web", "tasks", "schedules", "sandbox", "tests", "tools", "benchmarks", "chaos")
VERSIONS = ROOT / "platform" / "atelier" / "migrations" / "versions"
FUNCTION_LINES_MAX = 50
MODULE_LINES_MAX = 400
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
# What belongs to one developer's machine: its folders, and the addresses that its packages come from.
LOCAL = re.compile(r"(^|[^a-z.])/(work|farm|root)/|index[-]url|find[-]links|pypi[.]org/simple|files[.]pythonhosted")
TEXT_SUFFIXES = {
    "",
    ".cfg",
    ".conf",
    ".css",
    ".html",
    ".ini",
    ".js",
    ".json",
    ".lua",
    ".mako",
    ".md",
    ".py",
    ".toml",
    ".txt",
    ".yml",
}
# Ways for a test to pass without having looked, and to look at something other than the product.
EVASIONS = {
    *("pytest.skip", "pytest.mark.skip", "pytest.mark.skipif", "pytest.importorskip", "self.skipTest"),
    *("pytest.xfail", "pytest.mark.xfail", "time.sleep", "mock.patch", "monkeypatch.setattr"),
}
POLLS = ROOT / "tests" / "servers.py"


def python_files() -> Iterator[Path]:
    """Every module of the project, without the written history of the schema."""
    for folder in FOLDERS:
        yield from (file for file in (ROOT / folder).rglob("*.py") if VERSIONS not in file.parents)


def text_files() -> Iterator[Path]:
    """Every text that belongs to the project, without what others wrote (vendored) and what runs leave behind."""
    folders = [ROOT / name for name in (*FOLDERS, "docs", "deploy", "requirements", ".ci")]
    for file in [*ROOT.iterdir(), *(file for folder in folders for file in folder.rglob("*"))]:
        written_here = not {"vendor", "__pycache__", ".git"} & {*file.parts} and ".min." not in file.name
        if file.is_file() and file.suffix in TEXT_SUFFIXES and written_here:
            yield file


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{file.relative_to(ROOT)}:{node.lineno} {node.name}: {lines} lines"
        for file in python_files()
        for node in functions(file)
        if (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert long == []


def test_no_module_is_longer_than_a_sitting() -> None:
    lines = {file: file.read_text("utf-8").count("\n") for file in python_files()}
    assert {str(file.relative_to(ROOT)): count for file, count in lines.items() if count > MODULE_LINES_MAX} == {}


def test_every_module_has_a_name_that_says_something() -> None:
    names = [file.relative_to(ROOT) for file in python_files()]
    assert [str(name) for name in names if NAMES_THAT_SAY_NOTHING & {*name.parts[1:-1], name.stem}] == []


def test_platform_is_a_source_root_and_hides_nothing() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists()
    assert platform.system() != ""
    assert ROOT not in Path(platform.__file__).parents
    command = "import platform, atelier; print(platform.system(), atelier.__file__)"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [platform.system(), str(ROOT / "platform" / "atelier" / "__init__.py")]


def test_no_test_evades() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{node.lineno} {ast.unparse(node)}"
        for file in (ROOT / "tests").rglob("*.py")
        if file != POLLS
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in EVASIONS
    ]
    assert found == []


def test_no_file_names_one_developers_machine() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for file in text_files()
        for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1)
        if LOCAL.search(line)
    ]
    assert found == []
