"""How many messages wait at the broker, whatever the broker is."""

from collections.abc import Iterable
from typing import Any

from celery import Celery
from kombu import Connection
from kombu.exceptions import OperationalError

from atelier.kernel.errors import Transient


class BrokerUnavailable(Transient):
    """The broker can't be reached."""

    code = "BROKER_UNAVAILABLE"


def depths(app: Celery, names: Iterable[str]) -> dict[str, int]:
    """Messages waiting per queue; a queue that was never used has none. Raises BrokerUnavailable."""
    connection = app.connection_for_read(connect_timeout=1)
    # What a broker says when it goes after it was reached is an error of its own client library.
    away: tuple[type[BaseException], ...] = (OperationalError, OSError, *connection.connection_errors)
    try:
        with connection:
            connection.ensure_connection(max_retries=1, timeout=1)
            return {name: _depth(connection, name) for name in names}
    except away as error:
        raise BrokerUnavailable(type(error).__name__) from error


def _depth(connection: Connection, name: str) -> int:
    channel: Any = connection.default_channel
    try:
        waiting: int = channel.queue_declare(name, passive=True).message_count
    except connection.channel_errors:
        return 0
    return waiting
