"""What a worker process does besides tasks: log our way, show that it lives, give its jobs back when told to end."""

from collections.abc import Callable
from typing import Any

from celery import signals


def install(
    *, configure_logs: Callable[[], None], alive: Callable[[], None], shutting_down: Callable[[], None]
) -> None:
    """Have these called by the worker of this process: once at start, every few seconds, and at a warm shutdown."""

    def on_logging(**_: Any) -> None:
        configure_logs()

    def on_heartbeat(**_: Any) -> None:
        alive()

    def on_shutdown(**_: Any) -> None:
        shutting_down()

    # Celery keeps weak references to receivers, which would be gone when this function returns.
    signals.setup_logging.connect(on_logging, weak=False)
    signals.heartbeat_sent.connect(on_heartbeat, weak=False)
    signals.worker_shutting_down.connect(on_shutdown, weak=False)


def on_publish(published: Callable[[], None]) -> None:
    """Have this called after each message that this process has handed to the broker."""

    def on_published(**_: Any) -> None:
        published()

    signals.after_task_publish.connect(on_published, weak=False)
