"""Check the rules of transactions: `python -m tools.lint_transactions [folder or file …]`, exit status 1 on a breach.

A function whose first parameter is named `session` runs inside a transaction that may be run again. So it is plain
(not async), takes all but the objects of its verb by keyword, touches nothing but its session and pure code, and
never commits.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SOURCES = ("platform", "web", "tasks", "schedules")
# The runner itself, and the migrations, which run before any role starts.
EXEMPT = ("atelier/kernel/database.py", "atelier/migrations/env.py")
# `enqueue(session, CONTRACT, message, *, now_ms)`: what the verb acts on may follow the session, the rest has names.
# A private function has one caller, whose eyes are on it.
POSITIONAL_MAX = 2
ENDS_A_TRANSACTION = frozenset({"begin", "commit", "rollback"})
# Modules that reach the world, the clock or chance; nothing of them may be called with a session in hand.
WORLDLY_MODULES = (
    *("aiohttp", "asyncio", "celery", "httpx", "kombu", "oss2", "random", "redis", "requests", "secrets", "shutil"),
    *("smtplib", "socket", "subprocess", "tempfile", "tenacity", "threading", "time", "urllib.request", "uuid"),
    "uuid_utils",
)
WORLDLY_NAMES = frozenset(
    {
        "atelier.kernel.clock.now_ms",
        "atelier.kernel.ids.new_id",
        "datetime.date.today",
        "datetime.datetime.now",
        "datetime.datetime.today",
        "datetime.datetime.utcnow",
        "input",
        "open",
        "os.urandom",
        "print",
    }
)
WORLDLY_METHODS = frozenset(
    {"mkdir", "now_ms", "open", "read_bytes", "read_text", "sleep", "transact", "unlink", "write_bytes", "write_text"}
)


Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class Breach(NamedTuple):
    """One line that breaks a rule."""

    path: str
    line: int
    rule: str


def check_source(source: str, *, path: str) -> list[Breach]:
    """Every breach in one module's text; `path` says whether it is one of the two that may commit."""
    if path.endswith(EXEMPT):
        return []
    tree = ast.parse(source, filename=path)
    names = _imported(tree)
    found = list(_module_breaches(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            found += _renamed_sessions(node)
            if _takes_session(node):
                found += _function_breaches(node, names)
    return [Breach(path, line, rule) for line, rule in sorted(set(found))]


def main(arguments: list[str]) -> int:
    """Check the given places, or all sources; print each breach."""
    files = [file for place in arguments or SOURCES for file in _python_files(Path(place))]
    breaches = [breach for file in files for breach in check_source(file.read_text("utf-8"), path=file.as_posix())]
    for breach in breaches:
        print(f"{breach.path}:{breach.line}: {breach.rule}")
    print(f"transactions: {len(files)} files, {len(breaches)} breaches")
    return 1 if breaches or not files else 0


def _python_files(place: Path) -> list[Path]:
    return [place] if place.is_file() else sorted(place.rglob("*.py"))


def _imported(tree: ast.Module) -> dict[str, str]:
    """Local name → where it comes from, as a dotted path."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.partition(".")[0]
                names[bound] = alias.name if alias.asname else bound
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _module_breaches(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for call in _calls(tree):
        if not isinstance(call.func, ast.Attribute):
            continue
        if call.func.attr in ENDS_A_TRANSACTION:
            yield call.lineno, f".{call.func.attr}() belongs to the runner in kernel/database.py alone"
        if call.func.attr == "returning":
            yield call.lineno, ".returning() doesn't exist on MySQL: read the row under its lock instead"


def _takes_session(node: Function) -> bool:
    return _positional(node)[:1] == ["session"]


def _positional(node: Function) -> list[str]:
    names = [argument.arg for argument in [*node.args.posonlyargs, *node.args.args]]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def _renamed_sessions(node: Function) -> Iterator[tuple[int, str]]:
    for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
        annotated = argument.annotation is not None and _dotted(argument.annotation).rpartition(".")[2] == "Session"
        if annotated and argument.arg != "session":
            yield argument.lineno, f"{argument.arg}: a Session is the first parameter and is called session"


def _function_breaches(node: Function, names: dict[str, str]) -> Iterator[tuple[int, str]]:
    name = getattr(node, "name", "lambda")
    if isinstance(node, ast.AsyncFunctionDef):
        yield node.lineno, f"{name}: a function with a session is plain, not async"
    if len(_positional(node)) > 1 + POSITIONAL_MAX and not name.startswith("_"):
        yield node.lineno, f"{name}: after the session and its {POSITIONAL_MAX} objects, parameters are keyword-only"
    for call in _calls(node):
        if origin := _worldly(call, names):
            yield call.lineno, f"{name}: {origin}() has no place inside a transaction"


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    return (child for child in ast.walk(node) if isinstance(child, ast.Call))


def _worldly(call: ast.Call, names: dict[str, str]) -> str | None:
    """The dotted name of what is called, if it reaches the world."""
    dotted = _dotted(call.func)
    if dotted:
        root, _, rest = dotted.partition(".")
        dotted = names.get(root, root) + (f".{rest}" if rest else "")
        if dotted in WORLDLY_NAMES or any(dotted.startswith(f"{module}.") for module in WORLDLY_MODULES):
            return dotted
    if isinstance(call.func, ast.Attribute) and call.func.attr in WORLDLY_METHODS:
        return dotted or f"….{call.func.attr}"
    return None


def _dotted(node: ast.expr) -> str:
    """`a.b.c` as text; empty when it doesn't start at a plain name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
