"""What a provider calls back with is a reason to look now, and nothing else."""

from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import pytest_asyncio

from atelier.generation.callbacks import Callbacks
from atelier.jobs import parking
from atelier.kernel.clock import HOUR_MS, MINUTE_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.providers.kling.callbacks import signature
from tests.jobs.lifecycle import Workshop
from tests.live.harness import Served, healthy, serving

SECRET = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
BODY = b'{"task_id":"7","task_status":"succeed"}'


@pytest.fixture
def chosen(settings: Callable[..., Settings]) -> Settings:
    return settings(web_relay=False, kling_webhook_secret=SECRET)


@pytest_asyncio.fixture
async def served(chosen: Settings) -> AsyncIterator[Served]:
    async with serving(chosen) as running:
        await healthy(running)
        yield running


@pytest.fixture
def shop(db: Database) -> Workshop:
    return Workshop(db)


@pytest.fixture
def parked(shop: Workshop) -> str:
    """A job that is looked at in an hour."""
    job_id = shop.submit(shop.user(credits=5), 5)
    claimed = shop.claim_one(job_id)
    shop.db.transact(parking.park, job_id=job_id, fence=claimed.fence, wait_ms=HOUR_MS // 2)
    return job_id


def address(chosen: Settings, job_id: str, *, provider: str = "kling") -> str:
    return Callbacks("", chosen.keyring).url(provider, job_id)


def signed(body: bytes = BODY) -> dict[str, str]:
    sent_at = str(now_ms() // 1_000)
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": sent_at,
        "webhook-signature": f"v1,{signature(SECRET, 'msg_1', sent_at, body)}",
    }


async def post(served: Served, path: str, headers: Mapping[str, str], body: bytes = BODY) -> int:
    async with served.client.post(path, data=body, headers={"Content-Type": "application/json", **headers}) as answer:
        return answer.status


def waits(shop: Workshop, job_id: str) -> bool:
    poll_ms = shop.job(job_id)["poll_ms"]
    return poll_ms is not None and poll_ms > now_ms() + MINUTE_MS


async def test_a_callback_has_the_job_looked_at_now_however_often_it_comes(
    served: Served, chosen: Settings, shop: Workshop, parked: str
) -> None:
    assert waits(shop, parked)
    for _ in range(3):
        assert await post(served, address(chosen, parked), signed()) == 204
    job = shop.job(parked)
    assert (job["state"], job["fence"]) == ("running", 1)
    assert not waits(shop, parked)


async def test_what_is_not_the_providers_is_not_there(
    served: Served, chosen: Settings, shop: Workshop, parked: str
) -> None:
    ours = address(chosen, parked)
    assert await post(served, ours, {}) == 404
    assert await post(served, ours, signed(b"{}")) == 404
    assert await post(served, ours[:-1] + ("A" if ours[-1] != "A" else "B"), signed()) == 404
    assert await post(served, ours.replace("/kling/", "/king/"), signed()) == 404
    assert await post(served, "/api/providers/kling/callback/x", signed()) == 404
    assert await post(served, ours, signed(), b" " * 70_000) == 413
    assert waits(shop, parked)


async def test_a_provider_that_does_not_sign_is_heard_for_its_address(
    served: Served, chosen: Settings, shop: Workshop, parked: str
) -> None:
    assert await post(served, address(chosen, parked, provider="other"), {}) == 204
    assert not waits(shop, parked)


async def test_a_job_that_is_not_parked_is_left_alone(served: Served, chosen: Settings, shop: Workshop) -> None:
    job_id = shop.submit(shop.user(credits=5), 5)
    before = shop.job(job_id)
    assert await post(served, address(chosen, job_id), signed()) == 204
    assert shop.job(job_id) == before
