import io
import wave
from collections.abc import Iterator

import pytest
from PIL import Image

from atelier.generation import artifacts
from atelier.providers.errors import BadAnswer, Misconfigured, ModelMissing, ParameterInvalid
from atelier.providers.fake_openai import FakeOpenAI, Fault
from atelier.providers.openai import Endpoint, OpenAIImages, OpenAISpeech, media
from tests.providers.asking import ask


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as running:
        yield running


def endpoint_of(server: FakeOpenAI, model: str) -> Endpoint:
    return Endpoint(base_url=server.base_url, api_key=server.api_key, models={"": model})


def images_on(server: FakeOpenAI) -> OpenAIImages:
    return OpenAIImages(endpoint_of(server, "image-small"))


class TestImages:
    @pytest.mark.parametrize("links", [False, True])
    def test_return_files_however_the_endpoint_gives_them(self, server: FakeOpenAI, *, links: bool) -> None:
        server.links = links
        answer = ask(images_on(server), "a lighthouse", {"n": 3})
        assert len(answer.outputs) == 3
        for output in answer.outputs:
            assert (output.type, output.content_type) == ("image", "image/png")
            with Image.open(io.BytesIO(output.data)) as image:
                assert image.size == (64, 64)
        assert server.calls[0].headers["idempotency-key"] == "job:1"

    def test_the_prompt_as_it_was_revised_is_told_to_nobody(self, server: FakeOpenAI) -> None:
        output = ask(images_on(server), "the author's template: a lighthouse").output
        assert dict(output.metadata) == {}

    def test_send_only_what_was_asked_for(self, server: FakeOpenAI) -> None:
        ask(images_on(server), "x", {"quality": "hd", "size": "512x512"})
        expected = {"model": "image-small", "prompt": "x", "n": 1, "size": "512x512", "quality": "hd"}
        assert server.calls[0].body == expected

    @pytest.mark.parametrize("links", [False, True])
    def test_no_more_is_taken_than_was_asked_for(self, server: FakeOpenAI, *, links: bool) -> None:
        server.links = links
        server.faults.append(Fault(kind="generous"))
        assert len(ask(images_on(server), "x", {"n": 2}).outputs) == 2

    def test_bytes_that_are_no_image_are_refused(self, server: FakeOpenAI) -> None:
        server.faults.append(Fault(kind="garbage"))
        with pytest.raises(BadAnswer):
            ask(images_on(server), "x")

    def test_a_server_error_is_tried_again(self, server: FakeOpenAI) -> None:
        server.faults.append(Fault(kind="status", status=500, headers={"Retry-After": "0"}))
        assert ask(images_on(server), "x").outputs
        assert len(server.calls) == 2

    @pytest.mark.parametrize("size", ["1024", "x", "1024x1024x", "99999x1", "auto2"])
    def test_a_size_that_is_none(self, server: FakeOpenAI, size: str) -> None:
        with pytest.raises(ParameterInvalid):
            ask(images_on(server), "x", {"size": size})
        assert server.calls == []


class TestSpeech:
    def test_reads_the_prompt_aloud(self, server: FakeOpenAI) -> None:
        answer = ask(
            OpenAISpeech(endpoint_of(server, "speech-small")), "hello there", {"format": "wav", "voice": "nova"}
        )
        assert answer.output.content_type == "audio/wav"
        with wave.open(io.BytesIO(answer.output.data)) as sound:
            assert sound.getnframes() > 0
        expected = {
            "model": "speech-small",
            "input": "hello there",
            "voice": "nova",
            "response_format": "wav",
            "speed": 1,
        }
        assert server.calls[0].body == expected

    def test_a_text_above_what_the_protocol_allows_is_refused_without_a_call(self, server: FakeOpenAI) -> None:
        with pytest.raises(ParameterInvalid):
            ask(OpenAISpeech(endpoint_of(server, "speech-small")), "x" * 4097)
        assert server.calls == []

    def test_an_unknown_model(self, server: FakeOpenAI) -> None:
        with pytest.raises(ModelMissing):
            ask(OpenAISpeech(endpoint_of(server, "image-small")), "x")

    def test_a_wrong_key(self, server: FakeOpenAI) -> None:
        endpoint = Endpoint(base_url=server.base_url, api_key="sk-wrong", models={"": "speech-small"})
        with pytest.raises(Misconfigured):
            ask(OpenAISpeech(endpoint), "x")


def test_every_type_of_file_has_its_own_ending() -> None:
    """Whoever downloads a result finds out by its name what it is."""
    made = {kind for _, _, kind in media.IMAGE_SIGNATURES} | set(media.AUDIO_TYPES.values())
    assert made <= set(artifacts.EXTENSIONS)
