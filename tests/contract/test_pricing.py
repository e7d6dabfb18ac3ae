"""A metered agent as a front end uses it: quoted, submitted by its quote, paid as measured."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.orm import Session

from atelier.catalog import seed_content, service
from atelier.catalog.pricing import Rule
from atelier.kernel.clock import now_ms
from atelier.kernel.ids import new_id
from tests.contract.conftest import Place
from tests.contract.front_end import FrontEnd, Json
from tests.stack import Stack

RULE = Rule(unit="thousand_characters", credits=4, minimum=0, maximum=50, quantity="output")


@pytest.fixture(scope="module")
def stack(place: Place) -> Iterator[Stack]:
    """Every role that texts need."""
    made = Stack(place.database_url, place.redis_url, place.folder)
    made.start_all()
    yield made
    assert made.diagnosis() == []
    made.close()


def metered(session: Session, *, agent_id: str, slug: str) -> None:
    """Publish an echo that is paid by the length of its answer."""
    echo, now = seed_content.ECHO, now_ms()
    shown = replace(echo.shown, slug=slug, credits_per_use=RULE.maximum)
    content = replace(echo.content, credits_per_use=RULE.maximum, pricing=RULE.document)
    service.create(session, agent_id=agent_id, shown=shown, status="review", now_ms=now)
    version = service.add_version(session, agent_id=agent_id, content=content, now_ms=now)
    service.publish(session, agent_id=agent_id, version=version, now_ms=now)


def test_what_was_quoted_is_held_and_what_was_made_is_taken(stack: Stack) -> None:
    agent_id, name = new_id(), f"u{new_id()[-12:]}"
    stack.database.transact(metered, agent_id=agent_id, slug="metered-echo")
    user = FrontEnd(stack, name, stack.user(name, amount=100))
    body: dict[str, Any] = {"agentId": agent_id, "inputData": {"prompt": "字" * 2_500}}
    quote = user.call("POST", "/api/workshop/quote", body)
    assert (quote["credits"], quote["breakdown"][0]["quantity"]) == (50, None)
    user.refused(
        "POST",
        "/api/workshop/generate",
        {**body, "maxCredits": 49},
        (400, "PRICE_ABOVE_MAX", "价格超过您设定的上限"),
    )
    bound = {**body, "quoteId": quote["quoteId"], "maxCredits": 50}
    done: Json = user.call("POST", "/api/workshop/generate", bound, Prefer="wait=30")
    assert done["result"]["usage"] == {"credits": 12, "unit": "thousand_characters", "quantity": 2_500}
    job = user.finished(done["usageId"])
    assert job["credits"] == {"held": 50, "used": 12}
    assert user.balance() == {"balance": 88, "held": 0, "available": 88}
    user.refused("POST", "/api/workshop/generate", {**body, "quoteId": "forged"}, (400, "QUOTE_INVALID", "报价无效"))
