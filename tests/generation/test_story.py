"""`story-video` by the house's own makers: a film with as many scenes as were asked for, and with sound."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from typing_extensions import override

from atelier.generation.story import STORY_VIDEO
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.providers import schemas
from atelier.providers.audio import LocalAudio
from atelier.providers.contract import GenerationRequest, GenerationResult, ProviderRejected, RunContext
from atelier.providers.registry import ProviderOptions, build_registry
from tests.generation.families import PRICE, Families

SCENES = 3
CONFIG: dict[str, Any] = {
    **schemas.STORY.defaults,
    "scenes": SCENES,
    "secondsPerScene": 1,
    "resolution": "640x360",
    "seed": 7,
}


class Mute(LocalAudio):
    """A sound maker that can't."""

    @override
    def run(self, request: GenerationRequest, context: RunContext) -> GenerationResult:
        raise ProviderRejected


def told(
    db: Database, settings: Callable[..., Settings], folder: Path, **providers: Any
) -> tuple[dict[str, Any], bytes, dict[str, str]]:
    """The output of a story, its file, and how its steps have ended."""
    makers = build_registry(ProviderOptions()) | providers
    families = Families(db, settings(), folder, workflow=STORY_VIDEO, providers=makers)
    user_id = families.shop.user(credits=PRICE)
    job_id = families.submit(user_id, **CONFIG)
    families.drain()
    job = families.shop.job(job_id)
    assert (job["state"], job["used"]) == ("completed", PRICE), job["error_code"]
    assert families.shop.examine().totals == {}
    output = families.output(job_id)
    with families.storage.open(output["key"]) as file:
        data = file.read()
    families.close()
    return output, data, families.steps(job_id)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_story_becomes_a_film_of_its_scenes_with_sound(
    db: Database, settings: Callable[..., Settings], tmp_path: Path
) -> None:
    output, data, steps = told(db, settings, tmp_path)
    assert steps == dict.fromkeys(("captions", "image-1", "image-2", "image-3", "sound", "cut"), "completed")
    assert (output["contentType"], output["metadata"]["scenes"], output["metadata"]["sound"]) == ("video/mp4", 3, True)
    with av.open(io.BytesIO(data), "r") as film:
        assert [(stream.type, stream.codec_context.name) for stream in film.streams] == [
            *(("video", "h264"), ("audio", "aac"))
        ]
        pictures = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(pictures) == 24 * SCENES
    assert pictures[0].shape == (360, 640, 3)
    with av.open(io.BytesIO(data), "r") as film:
        heard = np.concatenate([frame.to_ndarray().ravel() for frame in film.decode(audio=0)])
    assert np.abs(heard).max() > 0.01, "there is something to hear"
    # In the middle of each scene stands another picture.
    middles = [pictures[round(24 * (number + 0.5))].astype(int) for number in range(SCENES)]
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert np.abs(middles[one] - middles[other]).mean() > 5


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_where_no_sound_can_be_made_the_film_is_silent(
    db: Database, settings: Callable[..., Settings], tmp_path: Path
) -> None:
    output, data, steps = told(db, settings, tmp_path, **{"local-audio": Mute()})
    assert (steps["sound"], steps["cut"], output["metadata"]["sound"]) == ("failed", "completed", False)
    with av.open(io.BytesIO(data), "r") as film:
        assert [stream.type for stream in film.streams] == ["video"]
