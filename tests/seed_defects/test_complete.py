"""Every known defect of the first drafts has a test that bears its number, or a line here that says why it has none."""

import ast
import re
from pathlib import Path

NUMBER = re.compile(r"_([AB]\d+)(?=_)")
EXPECTED = {f"A{number}" for number in range(1, 139)} | {f"B{number}" for number in range(1, 20)}
NOT_APPLICABLE = {
    "A14": "The front ends are written for 200 and the message, so registering keeps them.",
    "A29": "There is one way to sign in, and the tests of A129 and A131 are about it.",
    "A70": "The front ends read 400 and the sentence; the codes that were missing are in the tests of A57 and A58.",
    "A138": "An order of work, not of the product.",
    "B16": "Passwords are hashed by argon2id (A4) and tokens verified with a pinned algorithm (A129).",
}


def _tested() -> set[str]:
    names: set[str] = set()
    for file in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                names.update(NUMBER.findall(node.name))
    return names


def test_no_number_is_missing() -> None:
    assert sorted(EXPECTED - NOT_APPLICABLE.keys() - _tested()) == []


def test_no_excuse_is_needed_for_what_is_tested() -> None:
    assert sorted(NOT_APPLICABLE.keys() & _tested()) == []
    assert sorted(_tested() - EXPECTED) == []
