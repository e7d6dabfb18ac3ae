"""Asking the broker how long its queues are, while it comes and goes."""

from collections.abc import Callable
from typing import Any

import pytest

from atelier.contracts import queues
from atelier.dispatch import broker
from atelier.dispatch.depth import BrokerUnavailable, depths
from atelier.kernel.settings import Settings
from tests.servers import ValkeyServer, free_port

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def test_a_queue_that_was_never_used_is_empty(settings: Callable[..., Settings]) -> None:
    assert depths(broker.build(settings()), queues.ALL) == dict.fromkeys(queues.ALL, 0)


def test_a_queue_is_as_long_as_it_is(settings: Callable[..., Settings]) -> None:
    app: Any = broker.build(settings())
    for _ in range(3):
        app.send_task("jobs.sweep", kwargs={"message": {}}, queue=queues.SYSTEM)
    assert depths(app, queues.ALL) == {**dict.fromkeys(queues.ALL, 0), queues.SYSTEM: 3}


def test_a_broker_that_is_away_is_named_so(settings: Callable[..., Settings]) -> None:
    away = broker.build(settings(broker_url=f"redis://127.0.0.1:{free_port()}/0"))
    with pytest.raises(BrokerUnavailable):
        depths(away, queues.ALL)


def test_a_broker_that_dies_before_it_has_answered_is_named_so(
    settings: Callable[..., Settings], valkey_server: Callable[..., ValkeyServer]
) -> None:
    """The sweeper goes on without it: what is in the database can't wait for a broker."""
    server = valkey_server()
    app: Any = broker.build(settings(broker_url=server.url))
    connection = app.connection_for_read()
    connect = connection.ensure_connection

    def connect_and_lose(**named: Any) -> None:
        connect(**named)
        connection.default_channel.client.ping()
        server.kill()

    def connection_for_read(**_named: Any) -> Any:
        return connection

    connection.ensure_connection, app.connection_for_read = connect_and_lose, connection_for_read
    with pytest.raises(BrokerUnavailable):
        depths(app, queues.ALL)
