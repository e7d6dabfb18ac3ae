"""A database that is away: no notice is acknowledged, and what its gateway sends again later is taken."""

from collections.abc import Callable

import pytest
from aiohttp.test_utils import TestClient, TestServer

from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from tests.conftest import OwnMariaServer
from tests.gateways.merchants import alipay_client
from tests.payments.counter import Counter
from tests.payments.test_webhooks import Sent
from web.app import make_app


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # A file is never away: the server is the test's own.
async def test_nothing_is_acknowledged_while_the_database_is_away_and_nothing_is_lost(
    mariadb_server: Callable[[], OwnMariaServer], settings: Callable[..., Settings]
) -> None:
    server = mariadb_server()
    db = Database(server.address)
    app = make_app(settings(database_url=server.address, web_relay=False), gateways={"alipay": alipay_client()})
    async with TestClient(TestServer(app)) as client:

        async def send(name: str) -> tuple[int, bytes]:
            sent = Sent.alipay({"notify_id": name, "trade_no": name})
            answer = await client.post(sent.path, data=sent.body, headers=sent.headers)
            return answer.status, await answer.read()

        assert await send("1") == (200, b"success")
        server.kill()
        for name in ("1", "2", "3"):
            status, body = await send(name)
            assert status == 503
            assert b"success" not in body
        server.run()
        for name in ("1", "2", "3", "3"):
            assert await send(name) == (200, b"success")
    events = Counter(db).events()
    assert [event["fact"]["payment_no"] for event in events] == ["1", "2", "3"]
    assert all(event["due_ms"] for event in events), "they wait for a worker"
    db.close()
