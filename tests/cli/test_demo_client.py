"""What the demonstration finds on a platform that others use, too."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy.orm import Session

from atelier.catalog import seed_content, service
from atelier.cli.demo_client import Client
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from tests.furnishing import furnish
from tests.live.harness import serving

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def publish(session: Session, *, count: int) -> None:
    """So many agents of other people."""
    for number in range(count):
        agent_id, shown = new_id(), replace(seed_content.ECHO.shown, slug=f"poem-{number}")
        service.create(session, agent_id=agent_id, shown=shown, status="review", now_ms=now_ms())
        service.add_version(session, agent_id=agent_id, content=seed_content.ECHO.content, now_ms=now_ms())
        service.publish(session, agent_id=agent_id, version=1, now_ms=now_ms())


async def test_the_agents_of_the_house_are_found_among_many(db: Database, settings: Callable[..., Settings]) -> None:
    db.transact(furnish)
    db.transact(publish, count=60)
    async with (
        serving(settings(web_relay=False)) as served,
        Client(f"http://127.0.0.1:{served.port}", language="en") as client,
    ):
        assert {"outline-writer", "poster-maker", "soundscape", "clip-maker"} <= (await client.agents()).keys()
