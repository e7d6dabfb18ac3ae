"""The processes of this folder.

python -m tasks worker generation|media|money [--queues a,b]
python -m tasks relay
python -m tasks flower
python -m tasks health ROLE
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from atelier.contracts import queues
from atelier.kernel import alive, garbage, logs, settings
from atelier.kernel.settings import Settings

INSPECTORS_MAX = 32


@click.group()
def main() -> None:
    """Workers, relay and Flower."""


@main.command()
@click.argument("name", type=click.Choice(sorted(queues.WORKERS)))
@click.option("--queues", "served", default="", help="serve these queues instead of the worker's own, comma-separated")
def worker(name: str, served: str) -> None:
    """Run a Celery worker: threads for what waits, processes for what computes and for money."""
    os.environ["ATELIER_ROLE"] = f"worker-{name}"
    os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT" if name != "generation" else "SIGTERM")
    garbage.hold()
    from tasks.app import CELERY  # noqa: PLC0415 - the environment above is read while Celery is imported

    chosen = settings.load()
    pool, slots = _pool(name, chosen)
    garbage.settle()
    CELERY.worker_main(
        [
            "worker",
            "--pool",
            pool,
            "--concurrency",
            str(slots),
            "--queues",
            served or ",".join(queues.WORKERS[name]),
            "--hostname",
            f"{name}-{os.getpid()}@%h",
            "--without-gossip",
            "--without-mingle",
            "--events",
            "--loglevel",
            chosen.log_level,
        ]
    )


def _pool(name: str, chosen: Settings) -> tuple[str, int]:
    if name == "generation":
        return "threads", chosen.slots_text
    return "prefork", chosen.slots_media if name == "media" else chosen.slots_money


@main.command()
def relay() -> None:
    """Move messages from the outbox to the broker."""
    os.environ["ATELIER_ROLE"] = "relay"
    garbage.hold()
    from atelier.dispatch import broker  # noqa: PLC0415 - nothing is looked at while it is imported
    from atelier.dispatch.relay import Relay  # noqa: PLC0415
    from atelier.kernel.database import Database  # noqa: PLC0415

    chosen = settings.load()
    logs.configure(chosen, role="relay")
    mover = Relay(
        app=broker.build(chosen),
        database=Database(chosen.database_url, pool_size=1),
        idle_seconds=0.05,
        alive=_now_and_then(chosen.data_dir),
    )

    def stop(_signal: int, _frame: Any) -> None:
        mover.stop()

    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, stop)
    garbage.settle()
    mover.run()


def _now_and_then(data_dir: Path) -> Callable[[], None]:
    """Shows that the loop which calls it goes round; the file is touched every five seconds at most."""
    due = 0.0

    def show() -> None:
        nonlocal due
        if time.monotonic() >= due:
            # A folder that can't be written to shows a role that is not alive, and costs no message.
            with suppress(OSError):
                alive.touch(data_dir)
            due = time.monotonic() + 5

    return show


@main.command()
def flower() -> None:
    """Run Flower: a view of the workers, behind a password, on loopback unless told otherwise."""
    from atelier.dispatch import broker  # noqa: PLC0415 - a health check starts this module, too, and needs no Celery

    chosen = settings.load()
    logs.configure(chosen, role="flower")
    app = broker.build(chosen)
    auth = chosen.flower_auth.get_secret_value()
    if not auth:
        raise click.ClickException("set ATELIER_FLOWER_AUTH to user:password")
    # Each of its inspectors holds a connection of its own.
    app.conf.broker_pool_limit = INSPECTORS_MAX
    # By the environment, because a command line can be read by everyone on the machine.
    os.environ["FLOWER_BASIC_AUTH"] = auth
    app.start(["flower", f"--address={chosen.flower_host}", f"--port={chosen.flower_port}", "--persistent=false"])


@main.command()
@click.argument("role")
def health(role: str) -> None:
    """Exit with 0 if the role was alive within the last minute."""
    sys.exit(0 if alive.fresh(settings.load().data_dir, role) else 1)


if __name__ == "__main__":
    main()
