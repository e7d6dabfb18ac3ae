"""Celery's consumer with one difference: events for Flower go out a few times a second instead of once a task.

Celery flushes its buffer of task events as soon as its loop is free, which is after nearly every task, and each flush
is a message of its own: measured, a sixth of a busy worker's time. The buffer sends itself when it is full.
"""

from typing import Any

from celery.worker.consumer import Consumer as CeleryConsumer
from typing_extensions import override

FLUSH_SECONDS = 0.25


class Consumer(CeleryConsumer):
    """See the module."""

    _flush_is_due = False

    @override
    def on_send_event_buffered(self) -> None:  # type: ignore[override]  # the stub calls the method a property
        """Flush soon, once for everything that comes until then."""
        hub: Any = vars(self).get("hub")
        if hub and not self._flush_is_due:
            self._flush_is_due = True
            hub.call_later(FLUSH_SECONDS, self._flush_soon)

    def _flush_soon(self) -> None:
        self._flush_is_due = False
        dispatcher: Any = vars(self).get("event_dispatcher")
        if dispatcher:
            dispatcher.flush()
