"""A worker that is killed while it takes a part of a hold: the part is taken once, and the rest is free."""

import uuid
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from atelier.kernel.ids import new_id
from tests.contract.test_pricing import RULE, metered
from tests.crash.test_kills import has_died
from tests.servers import until
from tests.stack import Stack

SETTLE = ("worker.before_settle", "settle.after_state", "settle.before_commit", "worker.after_settle")
TEXT = "字" * 2_500
USED = 12


@pytest.fixture
def stack(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Stack]:
    """All roles but the one that is killed."""
    made = Stack(database_url, redis_url, tmp_path, env={"ATELIER_WEB_RELAY": "false"})
    made.start("money", "beat", "web", "relay")
    yield made
    made.close()


@pytest.mark.parametrize("points", [SETTLE[2:3], pytest.param(SETTLE, marks=pytest.mark.proof)], ids=["some", "all"])
@pytest.mark.timeout(300)
def test_worker_killed_while_it_takes_a_part_of_what_is_held(stack: Stack, points: tuple[str, ...]) -> None:
    agent_id, amount = new_id(), RULE.maximum * len(points)
    stack.database.transact(metered, agent_id=agent_id, slug="metered-echo")
    headers = stack.user(f"u{uuid.uuid4().hex[:12]}", amount=amount)
    body = {"agentId": agent_id, "inputData": {"prompt": TEXT}}
    for number, point in enumerate(points, start=1):
        stack.start("generation", fault=f"{point}:kill:1")
        doomed = stack.processes["generation"]
        answer = stack.client.post("/api/workshop/generate", json=body, headers=headers)
        assert answer.json()["credits"] == {"held": RULE.maximum}, answer.text
        until(partial(has_died, doomed), what=f"the worker dies at {point}", seconds_max=60)
        doomed.kill()
        stack.start("generation")
        assert stack.until_finished() == Counter(completed=number)
        stack.processes["generation"].kill()
        left = amount - USED * number
        balance = stack.client.get("/api/payments/credits/balance", headers=headers).json()
        assert balance == {"balance": left, "held": 0, "available": left}, point
    until(lambda: not stack.diagnosis(), what=f"the doctor is content: {stack.diagnosis()}")
