import io
import itertools

import av
import numpy as np
import pytest

from atelier.providers.contract import Stopped
from atelier.providers.errors import ParameterInvalid
from atelier.providers.video import LocalVideo
from tests.providers.asking import a_request, ask, stopped_after

MAKER = LocalVideo()
SHORT = {"durationSeconds": 2, "resolution": "640x360", "framesPerSecond": 12, "seed": 6}


class TestLocalVideo:
    def test_is_a_film_with_picture_and_sound_that_starts_before_it_is_loaded(self) -> None:
        answer = ask(MAKER, "海边的灯塔", SHORT)
        data = answer.output.data
        assert answer.output.content_type == "video/mp4"
        assert 0 < data.find(b"moov") < data.find(b"mdat")
        with av.open(io.BytesIO(data), "r") as film:
            picture, sound = film.streams.video[0], film.streams.audio[0]
            assert (picture.codec.name, sound.codec.name) == ("h264", "aac")
            assert (picture.width, picture.height, picture.pix_fmt) == (640, 360, "yuv420p")
            frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(picture)]
            film.seek(0)
            heard = np.concatenate([frame.to_ndarray() for frame in film.decode(sound)], axis=1)
        assert len(frames) == 24
        assert abs(heard.shape[1] / 44_100 - 2) < 0.1
        assert np.abs(heard).max() > 0.05
        assert frames[0].std() > 10
        moved = [np.abs(a.astype(int) - b.astype(int)).mean() for a, b in itertools.pairwise(frames[4:])]
        assert min(moved) > 0.05

    @pytest.mark.parametrize("resolution", ["960x540", "1280x720"])
    def test_other_sizes(self, resolution: str) -> None:
        answer = ask(MAKER, "Rain", {**SHORT, "resolution": resolution})
        with av.open(io.BytesIO(answer.output.data), "r") as film:
            assert f"{film.streams.video[0].width}x{film.streams.video[0].height}" == resolution

    def test_the_same_seed_gives_the_same_film_and_another_one_another(self) -> None:
        first, again, other = (ask(MAKER, "Rain", {**SHORT, "seed": seed}) for seed in (1, 1, 2))
        assert first.output.data == again.output.data
        assert first.output.data != other.output.data

    def test_reports_its_steps_in_order(self) -> None:
        steps = ask(MAKER, "Rain", SHORT).run.steps
        assert list(dict.fromkeys(steps)) == ["scenes", "music", "frames"]

    @pytest.mark.parametrize("reports", [1, 5, 9])
    def test_ends_at_the_next_report_when_it_is_stopped(self, reports: int) -> None:
        run = stopped_after(reports)
        with pytest.raises(Stopped):
            MAKER.run(a_request("Rain", SHORT), run)
        assert len(run.fractions) + run.checks == reports

    @pytest.mark.parametrize(
        ("name", "value"), [("durationSeconds", 21), ("resolution", "9x9"), ("framesPerSecond", 60)]
    )
    def test_refuses_parameters_out_of_bounds(self, name: str, value: object) -> None:
        with pytest.raises(ParameterInvalid):
            ask(MAKER, "Rain", {name: value})
