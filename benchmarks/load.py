"""Load by wrk: one thread, sixty-four connections unless told, requests that were prepared beforehand."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

SCRIPT = Path(__file__).with_name("load.lua")
CONNECTIONS = 64
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
WARM_SECONDS = 2
WARM_TURNS_MAX = 15
MISSING = "wrk is missing: install the package `wrk` (on Debian `apt-get install wrk`, on macOS `brew install wrk`)."


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request of a load. `form`: the body is one of a form, and not JSON."""

    path: str
    method: str = "GET"
    token: str = ""
    etag: str = ""
    body: str = ""
    form: bool = False

    def line(self) -> str:
        """As the script reads it."""
        kind = FORM if self.form else JSON
        return "\t".join((self.method, self.path, self.token or "-", self.etag or "-", kind, self.body or "-"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a load saw.

    refused, broken  answers from status 400 on, and connections that failed
    cpu_us           microseconds of processor time per request, of each process that was watched
    cold_per_second  the rate of the first two seconds, before anything was warm
    """

    per_second: float
    requests: int
    refused: int
    broken: int
    bytes_each: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_us: Mapping[str, float]
    cold_per_second: float = 0.0


def program() -> str:
    """Where wrk is. Raises RuntimeError with advice when there is none."""
    found = shutil.which("wrk")
    if found is None:
        raise RuntimeError(MISSING)
    return found


def prepared(requests: Iterable[Request], *, folder: Path, name: str) -> Path:
    """A file of requests for `run`."""
    path = folder / f"{name}.requests"
    path.write_text("".join(f"{request.line()}\n" for request in requests), encoding="utf-8")
    return path


def run(
    port: int,
    requests: Path,
    *,
    seconds: int,
    watched: Mapping[str, int],
    each_once: bool = False,
    connections: int = CONNECTIONS,
) -> Load:
    """Warm up, then load for so many seconds. `watched` are process ids by name.

    With `each_once` the warming lasts until every prepared request has been sent: what is measured then is a server
    that has seen them all. Raises RuntimeError when an answer was refused or a connection broke.
    """
    count = sum(1 for _ in requests.open(encoding="utf-8")) if each_once else 1
    warming = sent = 0
    cold = 0.0
    while sent < count and warming < WARM_TURNS_MAX:
        first = _wrk(port, requests, seconds=WARM_SECONDS, watched={}, start=sent, connections=connections)
        cold = cold or first.per_second
        sent += first.requests
        warming += 1
    load = _wrk(port, requests, seconds=seconds, watched=watched, start=sent, connections=connections)
    if load.refused or load.broken:
        raise RuntimeError(f"{load.refused} refused and {load.broken} broken of {load.requests} requests")
    return replace(load, cold_per_second=cold)


def cpu_seconds(pid: int) -> float:
    """What a process has used of the processors so far; 0 where the system doesn't say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _wrk(port: int, requests: Path, *, seconds: int, watched: Mapping[str, int], start: int, connections: int) -> Load:
    address = f"http://127.0.0.1:{port}/"
    options = ["-t1", f"-c{connections}", f"-d{seconds}", "-s", str(SCRIPT), address, "--", str(requests)]
    options.append(str(start))
    before = {name: cpu_seconds(pid) for name, pid in watched.items()}
    done = subprocess.run([program(), *options], capture_output=True, text=True, check=True, timeout=seconds + 30)
    used = {name: cpu_seconds(pid) - before[name] for name, pid in watched.items()}
    told = json.loads(done.stdout.splitlines()[-1])
    return Load(
        per_second=told["requests"] / told["micros"] * 1_000_000,
        requests=told["requests"],
        refused=told["refused"],
        broken=told["broken"],
        bytes_each=told["bytes"] / max(1, told["requests"]),
        p50_ms=told["p50"] / 1_000,
        p95_ms=told["p95"] / 1_000,
        p99_ms=told["p99"] / 1_000,
        cpu_us={name: seconds * 1_000_000 / max(1, told["requests"]) for name, seconds in used.items()},
    )
