"""The web role as a process: it serves, lets running requests end, and leaves."""

import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.request import urlopen

import pytest

from atelier.kernel import open_files
from atelier.kernel.settings import Settings
from tests.conftest import ProcessFactory
from tests.servers import Process, free_port, is_open

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


WEB = (sys.executable, "-m", "web")


def _started(
    process: ProcessFactory, settings: Settings, *, command: Sequence[str] = WEB, **env: str
) -> tuple[Process, int, int]:
    port, metrics_port = free_port(), free_port()
    child = process(
        command,
        env={
            "PYTHONPATH": "platform:.",
            "PORT": str(port),
            "ATELIER_METRICS_PORT": str(metrics_port),
            "DATABASE_URL": settings.database_url,
            "REDIS_URL": settings.redis_url,
            "JWT_SECRET": settings.jwt_secret.get_secret_value(),
            "ATELIER_DATA_DIR": str(settings.data_dir),
            **env,
        },
    )
    return child.start(ready=lambda: is_open(port)), port, metrics_port


def test_it_may_have_as_many_sockets_as_the_machine_allows(
    process: ProcessFactory, settings: Callable[..., Settings]
) -> None:
    child, _, _ = _started(process, settings(), command=("sh", "-c", f"ulimit -S -n 256; exec {sys.executable} -m web"))
    soft, hard = resource.prlimit(child.pid, resource.RLIMIT_NOFILE)
    assert soft == min(hard, open_files.FILES_MAX)


def _read(port: int, path: str) -> str:
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
        return str(response.read().decode())


def test_it_serves_both_ports_and_stops_when_told(process: ProcessFactory, settings: Callable[..., Settings]) -> None:
    child, port, metrics_port = _started(process, settings())
    assert '"status":"ok"' in _read(port, "/api/health")
    assert '"openapi":"3.1.0"' in _read(port, "/openapi.json")
    assert "atelier_http_request_seconds_bucket" in _read(metrics_port, "/metrics")
    assert child.stop(seconds_max=15) == 0
    assert not is_open(port)


def test_a_taken_metrics_port_does_not_keep_it_from_serving(
    process: ProcessFactory, settings: Callable[..., Settings]
) -> None:
    _, _, taken = _started(process, settings())
    child, port, _ = _started(process, settings(), ATELIER_METRICS_PORT=str(taken))
    assert '"status":"ok"' in _read(port, "/api/health")
    assert "metrics.unavailable" in Path(child.log).read_text("utf-8")


def test_settings_that_do_not_work_end_it_with_every_reason(
    process: ProcessFactory, settings: Callable[..., Settings]
) -> None:
    with pytest.raises(RuntimeError, match="SQLite is for development"):
        _started(process, settings(), ATELIER_ENV="production")
