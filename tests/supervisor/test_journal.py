"""What roles print is kept in lines, however it arrives."""

from pathlib import Path

from atelier.supervisor import journal as journal_module
from atelier.supervisor.journal import Journal


def test_pieces_become_lines_in_the_roles_own_file(tmp_path: Path) -> None:
    echoed: list[tuple[str, str]] = []
    journal = Journal(tmp_path / "logs", echo=lambda role, line: echoed.append((role, line)))
    journal.write("web", "工作坊".encode()[:4])
    journal.write("relay", b"other\n")
    journal.write("web", "工作坊".encode()[4:] + b" up\r\nunfin")
    journal.write("web", b"ished")
    assert journal.last_lines("web") == ["工作坊 up"]
    journal.close()
    assert (tmp_path / "logs" / "web.log").read_text("utf-8") == "工作坊 up\nunfinished\n"
    assert echoed == [("relay", "other"), ("web", "工作坊 up"), ("web", "unfinished")]


def test_only_the_last_lines_are_remembered(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write("web", b"".join(b"%d\n" % number for number in range(100)))
    assert journal.last_lines("web") == [str(number) for number in range(80, 100)]
    assert journal.last_lines("nobody") == []
    journal.close()


def test_a_line_without_end_takes_no_memory_for_ever(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for _ in range(3):
        journal.write("web", b"x" * (journal_module.LINE_BYTES + 1))
    journal.close()
    assert (tmp_path / "web.log").read_text().count("\n") == 3


def test_files_are_turned_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    line = b"x" * 1_000 + b"\n"
    journal.write("web", line * (journal_module.FILE_BYTES // 1_000 + 10))
    journal.close()
    assert (tmp_path / "web.log.1").stat().st_size <= journal_module.FILE_BYTES
    assert (tmp_path / "web.log").stat().st_size < 100_000
