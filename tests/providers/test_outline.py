import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.providers.contract import Stopped
from atelier.providers.headline import headline
from atelier.providers.outline import OutlineComposer, compose
from tests.providers.asking import a_request, ask, stopped_after


class TestOutline:
    @pytest.mark.parametrize("prompt", ["海", "Rain", "为社区面包店写开业方案", "A film about a lighthouse", "?"])
    @pytest.mark.parametrize("sections", [3, 6])
    def test_has_at_least_two_hundred_characters(self, prompt: str, sections: int) -> None:
        answer = ask(OutlineComposer(), prompt, {"sections": sections})
        assert len(answer.text) >= 200
        assert answer.text.count("\n## ") == sections

    @pytest.mark.parametrize(
        ("prompt", "label", "language"),
        [
            ("海边的灯塔", "未使用语言模型", "zh"),
            ("The lighthouse", "without a language model", "en"),
            ("灯台のはなし", "without a language model", "en"),
        ],
    )
    def test_says_in_the_language_of_the_prompt_that_rules_made_it(
        self, prompt: str, label: str, language: str
    ) -> None:
        answer = ask(OutlineComposer(), prompt)
        assert label in answer.text
        assert answer.output.metadata == {"engine": "outline", "language": language}

    def test_streams_exactly_what_it_returns_in_pieces(self) -> None:
        answer = ask(OutlineComposer(), "A plan")
        assert answer.run.text == answer.text
        assert len(answer.run.deltas) > 3

    def test_is_the_same_every_time_and_different_for_another_prompt(self) -> None:
        assert compose("rain") == compose("rain")
        assert compose("rain") != compose("snow")

    def test_ends_when_it_is_stopped(self) -> None:
        run = stopped_after(2)
        with pytest.raises(Stopped):
            OutlineComposer().run(a_request("rain"), run)
        assert len(run.deltas) == 1

    @given(st.text(min_size=1, max_size=400))
    def test_copes_with_any_prompt(self, prompt: str) -> None:
        assert len("".join(compose(prompt))) >= 200


class TestHeadline:
    @pytest.mark.parametrize(
        ("prompt", "expected"),
        [
            ("Create a poster for the harbour jazz night. Blue.", "The harbour jazz night"),
            ("请设计一张秋日音乐会的海报", "秋日音乐会"),
            ("写意山水", "写意山水"),
            ("画展开幕", "画展开幕"),
            ("版本3.2发布", "版本3.2发布"),
            ("...", "..."),
            ("  ", "…"),
        ],
    )
    def test_leaves_out_the_words_that_ask(self, prompt: str, expected: str) -> None:
        assert headline(prompt, longest=60) == expected

    @given(st.text(max_size=300), st.integers(min_value=4, max_value=80))
    def test_is_one_short_line_and_never_empty(self, prompt: str, longest: int) -> None:
        line = headline(prompt, longest=longest)
        assert 1 <= len(line) <= longest
        assert "\n" not in line
