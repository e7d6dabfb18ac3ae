import io
import wave

import av
import numpy as np
import pytest

from atelier.providers.audio import LocalAudio
from atelier.providers.contract import ProviderRejected, Stopped
from atelier.providers.errors import ParameterInvalid, SpeechMissing
from atelier.providers.schemas import MOODS
from atelier.providers.sound import speech
from tests.providers.asking import Answer, a_request, ask, stopped_after

MAKER = LocalAudio()
SHORT = {"durationSeconds": 3, "seed": 4}


def samples_of(answer: Answer) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float64]], int]:
    with wave.open(io.BytesIO(answer.output.data)) as sound:
        assert sound.getsampwidth() == 2
        raw = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")
        return raw.reshape(-1, sound.getnchannels()) / 32_768, sound.getframerate()


class TestMusic:
    @pytest.mark.parametrize("mood", MOODS)
    def test_every_mood_is_audible_stereo_and_never_clipped(self, mood: str) -> None:
        samples, rate = samples_of(ask(MAKER, "x", {**SHORT, "mood": mood}))
        assert (rate, samples.shape) == (44_100, (3 * 44_100, 2))
        assert 0.05 < np.sqrt((samples**2).mean()) < 0.3
        assert np.abs(samples).max() < 0.95
        assert abs(samples.mean()) < 0.01
        assert not np.array_equal(samples[:, 0], samples[:, 1])

    def test_begins_and_ends_in_silence(self) -> None:
        samples, _ = samples_of(ask(MAKER, "x", SHORT))
        assert np.abs(samples[:20]).max() < 0.01
        assert np.abs(samples[-20:]).max() < 0.01

    def test_is_twelve_seconds_of_wav_by_default(self) -> None:
        answer = ask(MAKER, "rain on the sea")
        samples, rate = samples_of(answer)
        assert samples.shape[0] / rate == 12
        assert answer.output.content_type == "audio/wav"
        assert answer.output.metadata["mood"] == "calm"

    @pytest.mark.parametrize(
        ("kind", "content_type", "codec"), [("opus", "audio/ogg", "opus"), ("aac", "audio/mp4", "aac")]
    )
    def test_compressed_formats_decode_to_the_same_length(self, kind: str, content_type: str, codec: str) -> None:
        answer = ask(MAKER, "x", {**SHORT, "format": kind})
        assert answer.output.content_type == content_type
        with av.open(io.BytesIO(answer.output.data), "r") as file:
            stream = file.streams.audio[0]
            assert stream.codec.name == codec
            seconds = sum(frame.samples for frame in file.decode(stream)) / stream.rate
        assert abs(seconds - 3) < 0.1

    @pytest.mark.parametrize("kind", ["wav", "opus", "aac"])
    def test_the_same_seed_gives_the_same_bytes_and_another_one_others(self, kind: str) -> None:
        first, again, other = (ask(MAKER, "x", {**SHORT, "format": kind, "seed": seed}) for seed in (1, 1, 2))
        assert first.output.data == again.output.data
        assert first.output.data != other.output.data

    def test_the_tempo_can_be_chosen(self) -> None:
        assert ask(MAKER, "x", {**SHORT, "tempo": 90}).output.metadata["tempo"] == 90
        assert ask(MAKER, "x", {**SHORT, "mood": "dark"}).output.metadata["tempo"] == 84

    def test_reports_often_enough_to_be_stopped_at_any_time(self) -> None:
        total = len(ask(MAKER, "x", {"durationSeconds": 20, "seed": 1}).run.fractions)
        assert total > 10
        for reports in (1, total // 2, total - 1):
            run = stopped_after(reports)
            with pytest.raises(Stopped):
                MAKER.run(a_request("x", {"durationSeconds": 20, "seed": 1}), run)
            assert len(run.fractions) + run.checks == reports

    @pytest.mark.parametrize(
        ("name", "value"), [("durationSeconds", 61), ("durationSeconds", float("nan")), ("mood", "sad")]
    )
    def test_refuses_parameters_out_of_bounds(self, name: str, value: object) -> None:
        with pytest.raises(ParameterInvalid):
            ask(MAKER, "x", {name: value})


class TestSpeech:
    def test_a_text_that_would_take_many_minutes_is_refused(self) -> None:
        with pytest.raises(ParameterInvalid):
            ask(MAKER, "x" * 2001, {"mode": "speech"})

    def test_without_its_optional_package_the_refusal_is_clear_and_final(self) -> None:
        with pytest.raises(SpeechMissing) as refused:
            ask(LocalAudio(speech_package="no_such_engine"), "hello", {"mode": "speech"})
        assert refused.value.code == "PROVIDER_SPEECH_MISSING"
        assert isinstance(refused.value, ProviderRejected)


if speech.installed():

    class TestSpokenWords:
        """The engine is an optional package: these are collected where it is installed."""

        @pytest.mark.parametrize(("text", "voice"), [("Hello and welcome", "en"), ("你好，欢迎来到创意工作坊", "zh")])
        def test_are_audible_in_the_language_of_the_text(self, text: str, voice: str) -> None:
            answer = ask(MAKER, text, {"mode": "speech"})
            samples, rate = samples_of(answer)
            assert samples.shape[0] / rate > 0.8
            assert np.abs(samples).max() > 0.1
            assert answer.output.metadata["voice"] == voice

        def test_in_two_languages_do_not_disturb_each_other(self) -> None:
            def seconds(text: str) -> float:
                return float(ask(MAKER, text, {"mode": "speech"}).output.metadata["durationSeconds"])

            texts = ("hello", "你好，欢迎")
            first, again = ([seconds(text) for text in texts] for _ in range(2))
            assert first == pytest.approx(again, rel=0.02)

        def test_end_when_they_are_stopped(self) -> None:
            run = stopped_after(4)
            with pytest.raises(Stopped):
                MAKER.run(a_request("一二三四五" * 100, {"mode": "speech"}), run)
            assert len(run.fractions) + run.checks == 4
            assert ask(MAKER, "你好", {"mode": "speech"}).output.data
