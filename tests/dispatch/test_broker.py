"""The broker's address: whatever the settings take, roles can use."""

from collections.abc import Callable
from urllib.parse import quote

import pytest
import redis

from atelier.contracts import outbox, queues
from atelier.contracts.messages import RUN_TEXT, JobMessage
from atelier.dispatch import broker
from atelier.dispatch.broker import KEY_PREFIX
from atelier.dispatch.depth import depths
from atelier.dispatch.relay import Relay
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from tests.servers import ValkeyServer

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
PASSWORD = "p@ss:/wörd %2F"


@pytest.mark.parametrize(
    ("address", "secured"),
    [
        ("unix://{path}", False),
        ("unix://{path}?db=3", False),
        ("unix://:{password}@{path}?db=3", True),
        ("unix://default:{password}@{path}", True),
        ("unix://{path}?db=3&password={password}", True),
    ],
)
def test_a_broker_on_a_unix_socket(
    db: Database,
    settings: Callable[..., Settings],
    valkey_server: Callable[..., ValkeyServer],
    *,
    address: str,
    secured: bool,
) -> None:
    server = valkey_server()
    url = address.format(path=server.socket, password=quote(PASSWORD, safe=""))
    if secured:
        with server.client() as client:
            client.config_set("requirepass", PASSWORD)
    app = broker.build(settings(redis_url=url))
    db.transact(outbox.enqueue, RUN_TEXT, JobMessage(job_id=new_id()), now_ms=now_ms())
    assert Relay(app=app, database=db, idle_seconds=1).move() == 1
    assert depths(app, queues.ALL)[queues.GENERATION_TEXT] == 1
    with redis.Redis.from_url(url) as client:
        assert client.llen(f"{KEY_PREFIX}{queues.GENERATION_TEXT}") == 1, "where the settings say, to the database"
    assert quote(PASSWORD, safe="") not in app.connection_for_write().as_uri()
