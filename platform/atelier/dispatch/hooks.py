"""What a worker process does besides tasks: log our way, show that it lives, give its jobs back when told to end."""

from collections.abc import Callable
from typing import Any

from celery import signals

from atelier.contracts.dead_messages import Dead


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


def on_unknown(bury: Callable[[Dead], None]) -> None:
    """Have this called with each message that the worker of this process has no task for, or can't make sense of."""

    def on_unknown_task(message: Any = None, name: str = "", **_: Any) -> None:
        bury(Dead(contract=name or "-", message=_text(message), reason="unknown_contract", error=""))

    def on_rejected(message: Any = None, **_: Any) -> None:
        bury(Dead(contract="-", message=_text(message), reason="unreadable", error=""))

    signals.task_unknown.connect(on_unknown_task, weak=False)
    signals.task_rejected.connect(on_rejected, weak=False)


def _text(message: Any) -> str:
    body: Any = getattr(message, "body", "")
    return body.decode(errors="replace") if isinstance(body, bytes) else str(body)
