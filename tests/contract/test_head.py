"""HEAD is answered wherever GET is, with what GET would be answered, and without a body."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from tests.contract import attacks, worlds
from tests.contract.conftest import Place
from tests.contract.worlds import World
from web import routes
from web.routing import Endpoint

# What is different each time, and what RFC 9110 (9.3.2) leaves out of an answer that has no content.
OF_THE_MOMENT = {"date", "x-request-id", "ratelimit", "transfer-encoding"}
READ = [one for one in routes.ENDPOINTS if one.method == "GET"]


@pytest.fixture(scope="module")
def world(place_on_sqlite: Place) -> Iterator[World]:
    with worlds.world(place_on_sqlite) as made:
        yield made


def _begun(world: World, endpoint: Endpoint, method: str, accept: str) -> tuple[int, Mapping[str, str]]:
    """The status and the lasting headers of the answer."""
    asked = replace(attacks.good(endpoint), method=method)
    answer = world.begun(asked, headers={**world.allowed(endpoint), "Accept": accept})
    try:
        assert method != "HEAD" or answer.read() == b""
        lasting = {name: value for name, value in answer.headers.items() if name not in OF_THE_MOMENT}
        return answer.status_code, lasting
    finally:
        answer.close()


@pytest.mark.parametrize("endpoint", READ, ids=[one.path for one in READ])
def test_head_is_answered_as_get(world: World, endpoint: Endpoint) -> None:
    for accept in ("*/*", *endpoint.media):
        status, lasting = _begun(world, endpoint, "GET", accept)
        assert status < 500
        assert _begun(world, endpoint, "HEAD", accept) == (status, lasting)
