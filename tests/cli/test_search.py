"""The command that mends the search."""

import sqlite3
from pathlib import Path

from tests.cli.conftest import Run


def test_a_broken_search_is_noticed_and_mended(run: Run, tmp_path: Path) -> None:
    assert run("migrate", "--data-dir", "one").returncode == 0
    with sqlite3.connect(tmp_path / "one" / "atelier.db") as database:
        database.execute("DELETE FROM search_postings")
        database.execute("DELETE FROM search_documents")
    database.close()
    ill = run("doctor", "--data-dir", "one")
    assert (ill.returncode, ill.stdout.count("search.agent")) == (0, 7), ill.stdout
    mended = run("search", "rebuild", "--data-dir", "one")
    assert (mended.returncode, mended.stdout.strip()) == (0, "6 agents can be found"), mended.stderr
    assert "search.agent" not in run("doctor", "--data-dir", "one").stdout
    assert "可搜索的智能体：6 个" in run("search", "rebuild", "--data-dir", "one", LC_ALL="zh_CN.UTF-8").stdout
