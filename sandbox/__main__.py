"""The sandbox role: `python -m sandbox --data-dir D --port P` serves both gateways until SIGTERM or SIGINT.

It takes options and no settings, because it belongs to the other side: nothing of ours is its business.
"""

import argparse
import fcntl
import os
import sys
from pathlib import Path

from aiohttp import web

from sandbox.app import make_app

STOP_SECONDS = 0.5


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="where its keys and books are")
    parser.add_argument("--port", type=int, required=True, help="its port")
    parser.add_argument("--host", default="127.0.0.1", help="the address that it listens on")
    parser.add_argument("--url", default="", help="how payers reach it, if not by that address")
    options = parser.parse_args()
    url = options.url.rstrip("/") or f"http://{options.host}:{options.port}"
    lock = _occupied(options.data_dir)
    application = make_app(options.data_dir, url=url)
    web.run_app(
        application,
        host=options.host,
        port=options.port,
        access_log=None,
        print=None,
        shutdown_timeout=STOP_SECONDS,
    )
    os.close(lock)


def _occupied(folder: Path) -> int:
    """Have the folder for oneself. The lock ends with the process, however that ends."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"another sandbox has {folder}")
    return descriptor


if __name__ == "__main__":
    main()
