"""What drains gets nothing new, not even as a step of what is put together from others."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from atelier.contracts import queues
from atelier.generation.errors import Draining
from atelier.generation.story import STORY_VIDEO
from atelier.generation.submit import Accepted
from atelier.jobs import controls
from atelier.jobs.lane_models import DRAINING, PROVIDER, QUEUE
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.errors import Refusal
from atelier.providers import schemas
from tests.generation.families import PRICE, compose_shop
from tests.jobs.lifecycle import Workshop


def submit(shop: Workshop, **config: Any) -> Sequence[Accepted | Refusal]:
    """A story, and a text beside it."""
    user_id = shop.user(credits=2 * PRICE)
    story = replace(
        shop.submission(user_id, PRICE, kind="video"),
        input={"prompt": "a cat"},
        config={**schemas.STORY.defaults, **config},
    )
    return shop.submit_all([story, replace(shop.submission(user_id, 0), provider="echo")])


@pytest.mark.parametrize(
    ("kind", "name", "stops"),
    [
        (QUEUE, queues.GENERATION_COMPOSE, True),
        (QUEUE, queues.GENERATION_IMAGE, True),
        (PROVIDER, "local-image", True),
        (QUEUE, queues.GENERATION_AUDIO, True),
        (PROVIDER, "kling", False),
    ],
)
def test_a_story_waits_until_none_of_its_steps_would_be_turned_away(
    db: Database, kind: str, name: str, *, stops: bool
) -> None:
    shop = compose_shop(db, STORY_VIDEO)
    db.transact(controls.hold, kind=kind, name=name, state=DRAINING, reason="x", now_ms=now_ms())
    story, text = submit(shop)
    assert isinstance(story, Draining if stops else Accepted)
    assert isinstance(text, Accepted)


def test_a_silent_story_needs_no_sound(db: Database) -> None:
    shop = compose_shop(db, STORY_VIDEO)
    db.transact(controls.hold, kind=QUEUE, name=queues.GENERATION_AUDIO, state=DRAINING, reason="x", now_ms=now_ms())
    story, _ = submit(shop, audio="none")
    assert isinstance(story, Accepted)
