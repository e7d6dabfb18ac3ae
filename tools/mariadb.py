"""Find a MariaDB server for the tests, or fetch one: `python -m tools.mariadb [--fetch]` says which.

Nothing is needed where one of these is set:
  ATELIER_TEST_MARIADB_URL   a running server (MariaDB or MySQL), mysql://user:password@host:port, whose user may
                             create and drop databases; the tests only touch databases named atelier_test_…
  ATELIER_TEST_MARIADBD      a mariadbd binary, which the tests start privately
Otherwise the usual folders are searched, then .cache/servers. With --fetch a missing server is installed from the
system's own package source when this runs as root, or else unpacked into .cache/servers without touching the system.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "servers"
PACKAGES = ("mariadb-server-core", "mariadb-client-core")
FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/opt/homebrew/bin", "/usr/local/bin")
ADVICE = (
    "There is no MariaDB server for the tests. Run `make test`, which installs one, or set ATELIER_TEST_MARIADBD to a "
    "mariadbd binary or ATELIER_TEST_MARIADB_URL to a running server."
)


class Missing(Exception):
    """No server binary is to be had."""


class Binaries(NamedTuple):
    """What it takes to start a private server. `environment` is added to the process's own."""

    server: Path
    install: Path
    base: Path | None
    environment: dict[str, str]

    @property
    def base_options(self) -> list[str]:
        """Where an unpacked server finds its own files; an installed one knows."""
        return [] if self.base is None else [f"--basedir={self.base}"]


def find() -> Binaries:
    """The server to start. Raises Missing with advice."""
    named = os.environ.get("ATELIER_TEST_MARIADBD")
    found = Path(named) if named else _search()
    if found is None or not os.access(found, os.X_OK):
        message = f"ATELIER_TEST_MARIADBD={named} is not an executable file" if named else ADVICE
        raise Missing(message)
    unpacked = found.is_relative_to(CACHE)
    base = CACHE / "usr" if unpacked else None
    beside = [found.parents[1] / folder for folder in ("bin", "scripts")]
    install = shutil.which("mariadb-install-db", path=os.pathsep.join([*map(str, beside), os.environ.get("PATH", "")]))
    if install is None:
        message = f"mariadb-install-db is neither beside {found} nor in PATH"
        raise Missing(message)
    return Binaries(found, Path(install), base, {"LD_LIBRARY_PATH": _libraries()} if unpacked else {})


def fetch() -> None:
    """Install or unpack the server. Raises Missing when neither works."""
    attempts = ([_install] if os.geteuid() == 0 else []) + [_unpack]
    for attempt in attempts:
        try:
            attempt()
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"  … failed: {error}", flush=True)
        else:
            return
    raise Missing(ADVICE)


def main(arguments: Sequence[str]) -> int:
    """Say which server the tests will use; with --fetch, get one if there is none."""
    if os.environ.get("ATELIER_TEST_MARIADB_URL"):
        print("MariaDB for the tests: the running server that ATELIER_TEST_MARIADB_URL names")
        return 0
    try:
        found = find()
    except Missing as reason:
        if "--fetch" not in arguments or "ATELIER_TEST_MARIADBD" in os.environ:
            print(reason)
            return 1
        fetch()
        found = find()
    print(f"MariaDB for the tests: {found.server} (started privately; ATELIER_TEST_MARIADBD names another)")
    return 0


def _search() -> Path | None:
    path = os.pathsep.join([os.environ.get("PATH", ""), *FOLDERS, str(CACHE / "usr" / "sbin")])
    found = shutil.which("mariadbd", path=path)
    return Path(found) if found else None


def _libraries() -> str:
    folders = {file.parent for pattern in ("usr/lib/*/*.so*", "lib/*/*.so*") for file in CACHE.glob(pattern)}
    return os.pathsep.join([*sorted(map(str, folders)), os.environ.get("LD_LIBRARY_PATH", "")]).rstrip(os.pathsep)


def _install() -> None:
    print(f"Installing {' and '.join(PACKAGES)} with apt-get (no service is started) …", flush=True)
    command = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *PACKAGES]
    if _run(command, may_fail=True) != 0:
        _run(["apt-get", "update", "--quiet"])
        _run(command)


def _unpack() -> None:
    print(f"Unpacking {' and '.join(PACKAGES)} into {CACHE} (the system is not changed) …", flush=True)
    shutil.rmtree(CACHE, ignore_errors=True)
    lists, archives = CACHE / "apt" / "lists", CACHE / "apt" / "archives"
    for folder in (lists / "partial", archives / "partial"):
        folder.mkdir(parents=True)
    apt = [
        "apt-get",
        "-o",
        f"Dir::State::lists={lists}",
        "-o",
        f"Dir::Cache={CACHE / 'apt'}",
        "-o",
        "Debug::NoLocking=1",
    ]
    if os.geteuid() == 0:
        apt += ["-o", "APT::Sandbox::User=root"]
    _run([*apt, "update", "--quiet"])
    plan = subprocess.run(
        [*apt, "install", "--print-uris", "--yes", "--quiet", "--quiet", "--no-install-recommends", *PACKAGES],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    # One line each: 'address' name_version_architecture.deb size hash
    needed = {line.split()[1].partition("_")[0] for line in plan.stdout.splitlines() if line.startswith("'")}
    _run([*apt, "download", "--quiet", *sorted({*PACKAGES, *needed})], folder=archives)
    for package in archives.glob("*.deb"):
        _run(["dpkg", "-x", str(package), str(CACHE)])
    shutil.rmtree(CACHE / "apt")


def _run(command: Sequence[str], *, folder: Path | None = None, may_fail: bool = False) -> int:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdout=subprocess.DEVNULL,
        check=not may_fail,
    )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
