"""How many messages wait at the broker, whatever the broker is."""

from collections.abc import Iterable
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

from atelier.kernel.errors import Transient


class BrokerUnavailable(Transient):
    """The broker can't be reached."""

    code = "BROKER_UNAVAILABLE"


def depths(app: Celery, names: Iterable[str]) -> dict[str, int]:
    """Messages waiting per queue; a queue that was never used has none. Raises BrokerUnavailable."""
    try:
        with app.connection_for_read(connect_timeout=1) as connection:
            connection.ensure_connection(max_retries=1, timeout=1)
            channel: Any = connection.default_channel
            found: dict[str, int] = {}
            for name in names:
                try:
                    found[name] = channel.queue_declare(name, passive=True).message_count
                except connection.channel_errors:
                    found[name] = 0
            return found
    except (OperationalError, OSError) as error:
        raise BrokerUnavailable(type(error).__name__) from error
