"""Routes as a whole: A133, A137, and that what is private names its owner."""

import pytest

from tests.seed_defects.conftest import Shop, path_of
from web.routes import ENDPOINTS

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
ADMIN = [one for one in ENDPOINTS if one.path.startswith("/api/admin/")]


async def test_A133_every_door_of_administration_is_guarded(shop: Shop) -> None:
    assert ADMIN
    assert {one.auth for one in ADMIN} == {"admin"}
    token = await shop.token("mei")
    for endpoint in ADMIN:
        path = path_of(endpoint)
        assert (await shop.ask(endpoint.method, path)).status == 401
        assert (await shop.ask(endpoint.method, path, token=token)).status == 403


async def test_A137_credits_are_whole_numbers_everywhere(shop: Shop) -> None:
    document = (await shop.ask("GET", "/openapi.json")).body
    wrong = [
        f"{name}.{field}"
        for name, schema in document["components"]["schemas"].items()
        for field, inner in schema.get("properties", {}).items()
        if field in {"balance", "held", "available", "credits", "basePrice", "creditsPerUse", "amountFen", "used"}
        and inner.get("type") == "number"
    ]
    assert wrong == []
