import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from atelier.providers.art.fonts import FontBook
from atelier.providers.contract import Stopped
from atelier.providers.errors import ParameterInvalid
from atelier.providers.image import LocalImage
from atelier.providers.schemas import IMAGE, PALETTES, SCENES
from tests.providers.asking import Answer, a_request, ask, stopped_after

SMALL = {"width": 256, "height": 256, "seed": 5}
NO_FONTS = FontBook(folders=())
MAKER = LocalImage()


def open_png(answer: Answer) -> Image.Image:
    assert answer.output.content_type == "image/png"
    with Image.open(io.BytesIO(answer.output.data)) as image:
        image.load()
    return image


class TestLocalImage:
    def test_is_a_png_of_1024_pixels_by_default(self) -> None:
        image = open_png(ask(MAKER, "海边的灯塔"))
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (1024, 1024))

    @pytest.mark.parametrize("style", IMAGE.config["properties"]["style"]["enum"])
    @pytest.mark.parametrize("size", [(256, 320), (400, 256)])
    def test_every_style_fills_the_size_asked_for(self, style: str, size: tuple[int, int]) -> None:
        answer = ask(MAKER, "Rain", {"style": style, "width": size[0], "height": size[1], "seed": 9})
        image = open_png(answer)
        assert image.size == size
        assert np.asarray(image).std() > 4
        assert answer.output.metadata["style"] == style

    @pytest.mark.parametrize("scene", SCENES)
    def test_every_scene_can_be_painted_in_every_palette(self, scene: str) -> None:
        pictures = {ask(MAKER, "x", {**SMALL, "scene": scene, "palette": palette}).output.data for palette in PALETTES}
        assert len(pictures) == len(PALETTES)

    @pytest.mark.parametrize("style", ["poster", "cover", "pattern", "gradient"])
    def test_the_same_seed_gives_the_same_bytes_and_another_one_others(self, style: str) -> None:
        first, again, other = (ask(MAKER, "Rain", {**SMALL, "style": style, "seed": seed}) for seed in (1, 1, 2))
        assert first.output.data == again.output.data
        assert first.output.data != other.output.data

    def test_without_a_seed_every_job_differs_and_its_attempts_do_not(self) -> None:
        size = {"width": 256, "height": 256}
        first = ask(MAKER, "Rain", size, job="1", attempt=1)
        again = ask(MAKER, "Rain", size, job="1", attempt=2)
        other = ask(MAKER, "Rain", size, job="2")
        assert first.output.data == again.output.data
        assert first.output.data != other.output.data
        repeated = ask(MAKER, "Rain", {**size, "seed": first.output.metadata["seed"]}, job="3")
        assert repeated.output.data == first.output.data

    def test_the_words_of_the_prompt_choose_the_scene(self) -> None:
        for prompt, scene in (("雪山与森林", "ridges"), ("The ocean at dawn", "sea"), ("Neon city", "skyline")):
            assert ask(MAKER, prompt, SMALL).output.metadata["scene"] == scene

    def test_reports_its_steps(self) -> None:
        assert set(ask(MAKER, "Rain", SMALL).run.steps) == {"scene", "texture", "lettering", "encode"}

    @pytest.mark.parametrize("reports", [1, 2, 3, 8])
    def test_ends_at_the_next_step_when_it_is_stopped(self, reports: int) -> None:
        run = stopped_after(reports)
        with pytest.raises(Stopped):
            MAKER.run(a_request("Rain", SMALL), run)
        assert len(run.fractions) + run.checks == reports

    @pytest.mark.parametrize(
        "parameters",
        [{"width": 100_000}, {"height": 255}, {"width": "256"}, {"style": "photo"}, {"title": "x" * 81}, {"seed": -1}],
    )
    def test_refuses_parameters_out_of_bounds_whatever_an_agents_schema_allowed(
        self, parameters: dict[str, Any]
    ) -> None:
        with pytest.raises(ParameterInvalid):
            ask(MAKER, "Rain", parameters)


class TestPattern:
    @pytest.mark.parametrize("seed", range(6))
    def test_its_edges_continue_each_other(self, seed: int) -> None:
        image = open_png(ask(MAKER, "x", {"style": "pattern", "width": 384, "height": 320, "seed": seed}))
        pixels = np.asarray(image).astype(np.float32)
        for axis in (0, 1):
            steps = np.abs(np.diff(pixels, axis=axis)).mean(axis=(1 - axis, 2))
            seam = np.abs(np.take(pixels, 0, axis=axis) - np.take(pixels, -1, axis=axis)).mean()
            # The seam may be a tile's border, but no border stands out more than those inside the pattern.
            assert seam <= steps.max() + 2


class TestLettering:
    def test_without_a_cjk_font_no_boxes_are_drawn_and_the_metadata_says_so(self) -> None:
        answer = ask(LocalImage(NO_FONTS), "海边的灯塔", SMALL)
        plain = ask(LocalImage(NO_FONTS), "海边的灯塔", {**SMALL, "title": "海"})
        assert answer.output.metadata["lettering"] == "missing"
        assert answer.output.metadata["missingFont"] == "cjk"
        assert answer.output.data == plain.output.data

    def test_latin_letters_need_no_font_of_the_system(self) -> None:
        answer = ask(LocalImage(NO_FONTS), "Café Zürich", SMALL)
        assert answer.output.metadata["lettering"] == "full"
        assert "missingFont" not in answer.output.metadata

    def test_a_mixed_title_keeps_what_can_be_drawn(self) -> None:
        answer = ask(LocalImage(NO_FONTS), "x", {**SMALL, "title": "Jazz 之夜"})
        assert answer.output.metadata["lettering"] == "partial"

    @pytest.mark.parametrize("style", ["poster", "cover"])
    @pytest.mark.parametrize("title", ["W" * 80, "长" * 80, "a b " * 20, "🙂", "\u0000\u200b"])
    def test_any_title_fits(self, style: str, title: str) -> None:
        for seed in (0, 1):
            parameters = {**SMALL, "style": style, "title": title, "subtitle": title, "seed": seed}
            assert open_png(ask(MAKER, "x", parameters)).size == (256, 256)

    def test_a_cjk_font_of_the_system_draws_chinese(self, tmp_path: Path) -> None:
        with_font, without = FontBook(), FontBook(folders=(tmp_path,))
        assert without.cjk is None
        drawn = ask(LocalImage(with_font), "海边的灯塔", SMALL)
        expected = "missing" if with_font.cjk is None else "full"
        assert drawn.output.metadata["lettering"] == expected
