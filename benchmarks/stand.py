"""What a row runs on: private servers with production-like settings, fresh databases, the platform's real processes."""

import resource
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self, TypeVar

import httpx
from sqlalchemy.orm import Session

from atelier.catalog import seeds
from atelier.kernel import migrate
from atelier.kernel import settings as settings_module
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from tests import databases
from tests.servers import LOOPBACK, MariaServer, Process, ValkeyServer, free_port, is_open, until

R = TypeVar("R")
ROOT = Path(__file__).resolve().parents[1]
SECRET = "b7e1d94c20aa4f5f8d5a6c3e9f10b2d47c68e3a1"
FILES_MAX = 16_384
ROLES: Mapping[str, tuple[str, ...]] = {
    "web": ("-m", "web"),
    "generation": ("-m", "tasks", "worker", "generation"),
    "media": ("-m", "tasks", "worker", "media"),
    "money": ("-m", "tasks", "worker", "money"),
    "submitting": ("-m", "tasks", "worker", "generation", "--queues", "generation.video"),
    "polling": ("-m", "tasks", "worker", "generation", "--queues", "provider.poll"),
    "relay": ("-m", "tasks", "relay"),
    "beat": ("-m", "schedules"),
}
# What protects a service from its users would only measure itself here. Everything else is as delivered.
UNLIMITED = {
    "ATELIER_SUBMISSIONS_PER_MINUTE": "1000000000",
    "ATELIER_REQUESTS_PER_MINUTE": "1000000000",
    "ATELIER_WAITING_JOBS_MAX": "100000000",
}


class BenchMaria(MariaServer):
    """MariaDB with a buffer pool and a log that hold the data. `flush` is innodb_flush_log_at_trx_commit."""

    def __init__(self, *, flush: int, buffer_pool: str) -> None:
        super().__init__()
        # Of an option that is given twice the server takes the last.
        self.command += [
            f"--innodb-buffer-pool-size={buffer_pool}",
            "--innodb-log-file-size=1G",
            f"--innodb-flush-log-at-trx-commit={flush}",
        ]


class Servers:
    """One MariaDB and one Valkey with an append-only file, for all rows. Use it in a `with`.

    `folder` has the logs of everything that was started; it stays when a row fails.
    """

    def __init__(self, *, flush: int = 1, buffer_pool: str = "2G") -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES_MAX, hard), hard))
        self.maria = BenchMaria(flush=flush, buffer_pool=buffer_pool)
        self.valkey = ValkeyServer(persist=True)
        self.folder = Path(tempfile.mkdtemp(prefix="atelier-bench-"))
        self._made = 0

    def __enter__(self) -> Self:
        self.maria.run()
        self.valkey.run()
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        self.valkey.remove()
        self.maria.remove()
        if failed is None:
            shutil.rmtree(self.folder)

    def database(self, name: str) -> str:
        """The address of a new empty database."""
        self._made += 1
        return databases.create(self.maria.url, f"{name}_{self._made}")

    def drop(self, address: str) -> None:
        """Drop a database that `database` made."""
        databases.drop(self.maria.url, address.rpartition("/")[2].partition("?")[0])


class Stand:
    """The platform on a fresh database and an emptied Valkey. Use it in a `with`; `start` starts roles.

    `settled` is what the roles were configured with; `database` runs transactions from this process.
    """

    def __init__(self, servers: Servers, *, name: str, pool_size: int = 8) -> None:
        self._servers = servers
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=servers.folder))
        self.address = servers.database(name)
        migrate.upgrade(self.address)
        self.database = Database(self.address, pool_size=pool_size)
        self.database.transact(seeds.seed, now_ms=now_ms(), development=True)
        self.redis_url = servers.valkey.url
        self.roles: dict[str, Process] = {}
        servers.valkey.wipe()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(*reversed(self.roles))
        self.database.close()
        self._servers.drop(self.address)

    @property
    def settings(self) -> Settings:
        """As the roles have them."""
        return settings_module.load(
            database_url=self.address, redis_url=self.redis_url, jwt_secret=SECRET, data_dir=self.folder / "data"
        )

    def start(self, *roles: str, **env: str) -> None:
        """Start roles; the web role answers when this returns."""
        for role in roles:
            process = Process(
                [sys.executable, *ROLES[role]],
                log=self.folder / f"{role}.log",
                env={**self._environment(), **env},
                cwd=ROOT,
            )
            self.roles[role] = process.start(ready=self._answers if role == "web" else None)

    def stop(self, *roles: str) -> None:
        """End roles that run; one that takes more than ten seconds is killed."""
        for role in roles:
            if role in self.roles:
                process = self.roles.pop(role)
                process.stop(seconds_max=10)
                process.kill()

    def read(self, fn: Callable[[Session], R]) -> R:
        """What `fn` reads."""
        return self.database.read(fn)

    def _environment(self) -> dict[str, str]:
        return {
            **UNLIMITED,
            "DATABASE_URL": self.address,
            "REDIS_URL": self.redis_url,
            "JWT_SECRET": SECRET,
            "PORT": str(self.port),
            "ATELIER_METRICS_PORT": str(free_port()),
            "ATELIER_DATA_DIR": str(self.folder / "data"),
            "ATELIER_ENV": "development",
        }

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://{LOOPBACK}:{self.port}/api/health/live", timeout=2).is_success
        except httpx.HTTPError:
            return False


class FloorServer(Process):
    """A floor that listens. Use it in a `with`."""

    def __init__(self, servers: Servers, name: str, *arguments: str) -> None:
        self.port = free_port()
        module = ["-m", f"benchmarks.floors.{name}"]
        log = servers.folder / f"floor-{name}.log"
        super().__init__([sys.executable, *module, str(self.port), *arguments], log=log, cwd=ROOT)

    def __enter__(self) -> Self:
        return self.start(ready=lambda: is_open(self.port))

    def __exit__(self, *_: object) -> None:
        self.stop(seconds_max=10)
        self.kill()


def wait(condition: Callable[[], object], *, what: str, seconds_max: float = 60) -> None:
    """Wait until the condition is true. Raises TimeoutError."""
    until(condition, what=what, seconds_max=seconds_max)
