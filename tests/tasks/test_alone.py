"""One at a time, also when the one before was killed."""

import subprocess
import sys
from pathlib import Path

from tasks.alone import alone

HOLDER = """
import sys
from pathlib import Path
from tasks.alone import alone
with alone(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    sys.stdin.read()
"""


def test_who_comes_second_is_told_and_the_next_is_first_again(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "doctor.lock"
    with alone(file) as first, alone(file) as second:
        assert (first, second) == (True, False)
    with alone(file) as again:
        assert again


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    file = tmp_path / "doctor.lock"
    command = [sys.executable, "-c", HOLDER, str(file)]
    root = Path(__file__).parents[2]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        with alone(file) as mine:
            assert not mine
        process.kill()
        process.wait(10)
        with alone(file) as mine:
            assert mine
