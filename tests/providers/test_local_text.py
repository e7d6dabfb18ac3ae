"""The local writer on every engine this machine has: our own endpoint always, the embedded model where it can run."""

import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from atelier.providers import local_llm
from atelier.providers.contract import ProviderUnavailable, Stopped
from atelier.providers.errors import Misconfigured
from atelier.providers.fake_openai import FakeOpenAI, Fault
from atelier.providers.local_text import LocalText
from atelier.providers.openai import Endpoint, OpenAIChat
from atelier.providers.recording import RecordedRun
from tests.providers.asking import a_request, ask
from tests.servers import Process, free_port

DEMO = "A short film about a lighthouse keeper who repairs radios"
PLACES = (Path(os.environ.get("ATELIER_DATA_DIR", ".atelier")), Path(tempfile.gettempdir()) / "atelier-models")
MODELS = [place for place in PLACES if local_llm.have_weights(place)]
EMBEDDED = local_llm.cpu_can_serve() and local_llm.engine_installed() and bool(MODELS)
SENTENCE = "The keeper listens to the sea and mends what the storm has broken, one wire after the other. "

SERVE = """
import os, sys
from pathlib import Path
from atelier.providers.local_llm import serve
serve(Path(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), api_key=os.environ["MODEL_KEY"])
"""


@pytest.fixture(scope="session", params=["endpoint", "smollm2"] if EMBEDDED else ["endpoint"])
def endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A server that answers: ours, and the embedded one where the processor, the engine and the weights are there."""
    if request.param == "smollm2":
        yield from _embedded(tmp_path_factory.mktemp("llm") / "log")
        return
    with FakeOpenAI() as server:
        server.text = [SENTENCE, SENTENCE]
        yield Endpoint(base_url=server.base_url, api_key=server.api_key, models={"": "chat-small"})


def _embedded(log: Path) -> Iterator[Endpoint]:
    port, key = free_port(), f"sk-{secrets.token_hex(8)}"
    command: list[str | Path] = [sys.executable, "-c", SERVE, local_llm.weights_path(MODELS[0]), str(port)]
    server = Process(command, log=log, env={"PYTHONPATH": "platform", "MODEL_KEY": key})
    base_url = f"http://127.0.0.1:{port}"
    try:
        server.start(ready=lambda: _is_ready(base_url))
        yield Endpoint(base_url=f"{base_url}/v1", api_key=key, models={"": local_llm.MODEL})
        assert server.stop() == 0
    finally:
        server.kill()


def _is_ready(base_url: str) -> bool:
    """It listens before the weights are loaded, and answers 503 until they are."""
    try:
        return httpx.get(f"{base_url}/health", trust_env=False).is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def own() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


def writer_on(server: FakeOpenAI, key: str | None = None) -> LocalText:
    endpoint = Endpoint(base_url=server.base_url, api_key=key or server.api_key, models={"": "chat-small"}, tries=1)
    return LocalText(OpenAIChat(endpoint))


class TestWithAModel:
    def test_writes_an_outline_of_at_least_two_hundred_characters(self, endpoint: Endpoint) -> None:
        answer = ask(LocalText(OpenAIChat(endpoint)), DEMO)
        assert answer.output.metadata["engine"] == "smollm2"
        assert len(answer.text) >= 200
        assert answer.text.count("## ") == 5
        assert answer.run.text == answer.text
        assert len(answer.run.deltas) > 5

    @pytest.mark.parametrize("seed", [1, 2])
    def test_writes_freely_and_goes_on_until_it_is_long_enough(self, endpoint: Endpoint, seed: int) -> None:
        answer = ask(LocalText(OpenAIChat(endpoint)), DEMO, {"style": "free", "seed": seed})
        assert len(answer.text) >= 200
        assert answer.output.metadata["seed"] == seed
        assert answer.output.metadata["completionTokens"] > 0

    def test_a_chinese_prompt_is_composed_by_rules_and_says_so(self, endpoint: Endpoint) -> None:
        answer = ask(LocalText(OpenAIChat(endpoint)), "海边的灯塔")
        assert answer.output.metadata == {"engine": "outline", "reason": "language", "language": "zh"}
        assert "未使用语言模型" in answer.text

    def test_a_stop_ends_the_writing(self, endpoint: Endpoint) -> None:
        run = RecordedRun(stop_when=lambda seen: len(seen.deltas) >= 3)
        with pytest.raises(Stopped):
            LocalText(OpenAIChat(endpoint)).run(a_request(DEMO), run)
        assert len(run.deltas) == 3

    def test_the_endpoint_refuses_another_key(self, endpoint: Endpoint) -> None:
        wrong = Endpoint(base_url=endpoint.base_url, api_key="sk-guessed", models=endpoint.models)
        with pytest.raises(Misconfigured):
            ask(OpenAIChat(wrong), DEMO)

    def test_the_plain_chat_adapter_works_on_it(self, endpoint: Endpoint) -> None:
        answer = ask(OpenAIChat(endpoint), "Say hello", {"maxTokens": 24})
        assert answer.text
        assert answer.output.metadata["usage"]["completionTokens"] > 0

    def test_a_prompt_beyond_the_models_window_still_gets_a_text(self, endpoint: Endpoint) -> None:
        answer = ask(LocalText(OpenAIChat(endpoint)), "q7#" * 1333)
        assert len(answer.text) >= 200


class TestWithoutAModel:
    def test_the_composer_writes(self) -> None:
        answer = ask(LocalText(None), DEMO, {"sections": 4})
        assert answer.output.metadata == {"engine": "outline", "reason": "no_model", "language": "en"}
        assert answer.text.count("## ") == 4

    def test_nobody_listens(self) -> None:
        endpoint = Endpoint(base_url="http://127.0.0.1:9/v1", api_key="sk", models={"": "m"}, tries=1)
        assert ask(LocalText(OpenAIChat(endpoint)), DEMO).output.metadata["reason"] == "PROVIDER_UNAVAILABLE"


class TestTrouble:
    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            (Fault(kind="status", status=503), "PROVIDER_UNAVAILABLE"),
            (Fault(kind="status", status=400), "PROVIDER_REJECTED"),
            (Fault(kind="break", after=0), "PROVIDER_INTERRUPTED"),
            (Fault(kind="empty"), "PROVIDER_BAD_ANSWER"),
        ],
    )
    def test_before_the_first_word_the_composer_steps_in(self, own: FakeOpenAI, fault: Fault, reason: str) -> None:
        own.faults.append(fault)
        answer = ask(writer_on(own), DEMO)
        assert answer.output.metadata["engine"] == "outline"
        assert answer.output.metadata["reason"] == reason
        assert answer.run.text == answer.text

    def test_a_wrong_key_is_told_in_the_metadata(self, own: FakeOpenAI) -> None:
        answer = ask(writer_on(own, key="sk-old"), DEMO)
        assert answer.output.metadata["reason"] == "PROVIDER_MISCONFIGURED"

    def test_after_the_first_word_the_attempt_fails_and_another_one_may_follow(self, own: FakeOpenAI) -> None:
        own.text = [SENTENCE, SENTENCE]
        own.faults.append(Fault(kind="break", after=1))
        with pytest.raises(ProviderUnavailable):
            ask(writer_on(own), DEMO)

    def test_short_answers_are_extended(self, own: FakeOpenAI) -> None:
        own.text = ["Too short."]
        answer = ask(writer_on(own), DEMO, {"style": "free"})
        assert answer.text == "Too short. Too short. Too short."
        assert [len(call.body["messages"]) for call in own.calls] == [2, 4, 6]
