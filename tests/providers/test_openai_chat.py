import email.utils
import json
import time
from collections.abc import Iterator

import pytest

from atelier.providers.contract import ProviderRejected, ProviderUnavailable, Stopped
from atelier.providers.errors import (
    BadAnswer,
    ContentRefused,
    Interrupted,
    Misconfigured,
    ModelMissing,
    OutOfTime,
    QuotaExhausted,
    Throttled,
    TimedOut,
)
from atelier.providers.fake_openai import FakeOpenAI, Fault
from atelier.providers.openai import Endpoint, OpenAIChat
from atelier.providers.openai.failures import failure_of, retry_after
from atelier.providers.recording import RecordedRun
from tests.providers.asking import a_request, ask

AT_ONCE = {"Retry-After": "0"}


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(api_key="sk-right") as running:
        yield running


def chat_on(server: FakeOpenAI, *, key: str = "sk-right", model: str = "chat-small") -> OpenAIChat:
    return OpenAIChat(Endpoint(base_url=server.base_url, api_key=key, models={"": model, "big": "chat-large"}))


class TestAnswer:
    def test_streams_the_text_and_counts_the_tokens(self, server: FakeOpenAI) -> None:
        answer = ask(chat_on(server), "rain")
        assert answer.run.text == answer.text
        assert len(answer.run.deltas) > 3
        usage = answer.output.metadata["usage"]
        assert usage["promptTokens"] == 4
        assert usage["estimated"] is False
        assert answer.output.metadata["finishReason"] == "stop"

    def test_sends_key_idempotency_key_model_and_sampling(self, server: FakeOpenAI) -> None:
        parameters = {"system": "Be brief", "maxTokens": 50, "temperature": 0.2, "topP": 0.9, "seed": 7}
        ask(chat_on(server), "rain", parameters, job="42", model="big")
        (call,) = server.calls
        assert call.path == "/v1/chat/completions"
        assert call.headers["authorization"] == "Bearer sk-right"
        assert call.headers["idempotency-key"] == "job:42"
        assert call.body == {
            "model": "chat-large",
            "stream": True,
            "stream_options": {"include_usage": True},
            "messages": [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "rain"}],
            "max_tokens": 50,
            "temperature": 0.2,
            "top_p": 0.9,
            "seed": 7,
        }

    def test_the_field_of_the_longest_answer_can_be_named(self, server: FakeOpenAI) -> None:
        endpoint = Endpoint(base_url=server.base_url, api_key="sk-right", models={"": "chat-small"})
        ask(OpenAIChat(endpoint, max_tokens_field="max_completion_tokens"), "rain")
        assert server.calls[0].body["max_completion_tokens"] == 1024
        assert "max_tokens" not in server.calls[0].body

    def test_estimates_the_tokens_when_the_endpoint_counts_none(self, server: FakeOpenAI) -> None:
        server.faults.append(Fault(kind="no_usage"))
        server.text = ["雨", "rain"]
        usage = ask(chat_on(server), "rain").output.metadata["usage"]
        assert usage == {"promptTokens": 1, "completionTokens": 2, "totalTokens": 3, "estimated": True}

    def test_separators_within_a_text_do_not_break_the_stream(self, server: FakeOpenAI) -> None:
        server.text = ["one\u2028two", "three\u0085four\u000c", "雨\n\nend"]
        assert ask(chat_on(server), "rain").text == "".join(server.text)

    def test_halves_of_characters_are_put_together_or_replaced(self, server: FakeOpenAI) -> None:
        halves = [r'{"content": "a\ud83d"}', r'{"content": "\ude00b"}', r'{"content": "\ude00c\ud83d"}']
        lines = "\n\ndata: ".join(f'{{"choices": [{{"delta": {half}}}]}}' for half in halves)
        server.faults.append(Fault(kind="line", line=lines))
        server.text = []
        answer = ask(chat_on(server), "rain")
        assert answer.text == answer.run.text == "a😀b�c�"

    def test_accepts_an_answer_that_is_not_streamed(self, server: FakeOpenAI) -> None:
        server.faults.append(Fault(kind="no_stream"))
        answer = ask(chat_on(server), "rain")
        assert answer.run.text == answer.text
        assert answer.output.metadata["finishReason"] == "stop"


class TestRefusals:
    def test_a_wrong_key_is_an_operators_business_and_is_never_shown(self, server: FakeOpenAI) -> None:
        with pytest.raises(Misconfigured) as refused:
            ask(chat_on(server, key="sk-wrong-Zq81"), "rain")
        assert refused.value.code == "PROVIDER_MISCONFIGURED"
        assert "sk-wrong" not in str(refused.value)
        assert len(server.calls) == 1

    def test_an_unknown_model(self, server: FakeOpenAI) -> None:
        with pytest.raises(ModelMissing):
            ask(chat_on(server, model="nothing"), "rain")

    def test_no_model_at_all_is_refused_without_a_call(self, server: FakeOpenAI) -> None:
        with pytest.raises(ModelMissing):
            ask(chat_on(server, model=""), "rain")
        assert server.calls == []

    @pytest.mark.parametrize(
        ("status", "code", "error"),
        [
            (400, "invalid_request", ProviderRejected),
            (422, "invalid_request", ProviderRejected),
            (400, "content_policy_violation", ContentRefused),
            (403, "moderation_blocked", ContentRefused),
            (403, "forbidden", Misconfigured),
            (402, "payment_required", QuotaExhausted),
            (429, "insufficient_quota", QuotaExhausted),
        ],
    )
    def test_each_has_its_own_error_and_one_call(
        self, server: FakeOpenAI, status: int, code: str, error: type[Exception]
    ) -> None:
        server.faults.append(Fault(kind="status", status=status, code=code, headers=AT_ONCE))
        with pytest.raises(error) as refused:
            ask(chat_on(server), "rain")
        assert type(refused.value) is error
        assert len(server.calls) == 1

    def test_the_content_filter_in_the_middle_of_a_stream(self, server: FakeOpenAI) -> None:
        server.faults.append(Fault(kind="filtered"))
        with pytest.raises(ContentRefused):
            ask(chat_on(server), "rain")

    def test_a_key_that_would_end_up_in_an_error_text_is_refused_at_once(self) -> None:
        with pytest.raises(ValueError, match="printable ASCII"):
            Endpoint(base_url="https://example.org/v1", api_key="sk\n1")
        with pytest.raises(ValueError, match="http or https"):
            Endpoint(base_url="ftp://example.org/v1", api_key="sk")
        assert "sk-hidden" not in repr(Endpoint(base_url="https://example.org/v1", api_key="sk-hidden"))


class TestTrouble:
    @pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
    def test_is_tried_again_before_anything_came_out(self, server: FakeOpenAI, status: int) -> None:
        server.faults.append(Fault(kind="status", status=status, headers=AT_ONCE))
        answer = ask(chat_on(server), "rain")
        assert len(answer.text) > 200
        assert len(server.calls) == 2
        assert len({call.headers["idempotency-key"] for call in server.calls}) == 1

    def test_waits_as_long_as_the_provider_asks(self, server: FakeOpenAI) -> None:
        server.faults.append(Fault(kind="status", status=429, headers={"retry-after-ms": "30"}))
        assert ask(chat_on(server), "rain").run.sleeps == [0.03]

    def test_does_not_wait_longer_than_the_attempt_may(self, server: FakeOpenAI) -> None:
        server.faults.append(Fault(kind="status", status=429, headers={"Retry-After": "15"}))
        run = RecordedRun()
        with pytest.raises(Throttled) as refused:
            chat_on(server).run(a_request("rain", seconds=10), run)
        assert refused.value.retry_after == 15
        assert run.sleeps == []

    def test_gives_up_after_three_tries(self, server: FakeOpenAI) -> None:
        server.faults += [Fault(kind="status", status=503, headers=AT_ONCE) for _ in range(5)]
        with pytest.raises(ProviderUnavailable) as refused:
            ask(chat_on(server), "rain")
        assert "503" in str(refused.value)
        assert len(server.calls) == 3

    def test_obeys_the_providers_own_word_about_trying_again(self, server: FakeOpenAI) -> None:
        server.faults.append(Fault(kind="status", status=500, headers={"x-should-retry": "false"}))
        with pytest.raises(ProviderUnavailable):
            ask(chat_on(server), "rain")
        assert len(server.calls) == 1

    @pytest.mark.parametrize("after", [0, 2])
    def test_a_stream_that_breaks_is_not_tried_again_within_the_call(self, server: FakeOpenAI, after: int) -> None:
        server.faults.append(Fault(kind="break", after=after))
        with pytest.raises(Interrupted):
            ask(chat_on(server), "rain")
        assert len(server.calls) == 1

    @pytest.mark.parametrize(
        ("code", "error"),
        [
            ("server_error", ProviderUnavailable),
            ("rate_limit_exceeded", Throttled),
            ("content_policy_violation", ContentRefused),
            ("invalid_request_error", ProviderRejected),
        ],
    )
    def test_an_error_in_the_middle_of_a_stream_keeps_its_meaning_but_not_its_text(
        self, server: FakeOpenAI, code: str, error: type[Exception]
    ) -> None:
        server.faults.append(Fault(kind="stream_error", code=code, after=1))
        with pytest.raises(error) as refused:
            ask(chat_on(server), "rain")
        assert type(refused.value) is error
        assert "sk-secret" not in str(refused.value)

    @pytest.mark.parametrize("kind", ["garbage", "empty"])
    def test_an_answer_that_is_none(self, server: FakeOpenAI, kind: str) -> None:
        server.faults.append(Fault(kind=kind))
        with pytest.raises(BadAnswer):
            ask(chat_on(server), "rain")

    @pytest.mark.parametrize("line", ['{"usage": {"total_tokens": 1e999}, "choices": []}', "[" * 100_000])
    def test_a_line_that_no_reader_is_made_for(self, server: FakeOpenAI, line: str) -> None:
        server.faults.append(Fault(kind="line", line=line))
        with pytest.raises(BadAnswer):
            ask(chat_on(server), "rain")

    def test_what_is_no_word_is_no_part_of_the_description(self, server: FakeOpenAI) -> None:
        line = r'{"model": {"a": "\ud83d"}, "choices": [{"finish_reason": ["x"]}]}'
        server.faults.append(Fault(kind="line", line=line))
        metadata = ask(chat_on(server), "rain").output.metadata
        assert metadata["finishReason"] == "stop"

    def test_which_model_answered_is_told_to_nobody(self, server: FakeOpenAI) -> None:
        output = ask(chat_on(server), "rain").output
        assert output.metadata.keys() == {"finishReason", "usage"}

    def test_nobody_listens(self, server: FakeOpenAI) -> None:
        port = 9  # "discard": nothing serves it on the loopback address of any machine we know
        endpoint = Endpoint(base_url=f"http://127.0.0.1:{port}/v1", api_key="sk", models={"": "m"}, tries=1)
        with pytest.raises(ProviderUnavailable, match="no connection"):
            ask(OpenAIChat(endpoint), "rain")
        assert server.calls == []

    def test_a_silent_provider_is_left_before_the_attempt_is_over(self, server: FakeOpenAI) -> None:
        server.faults.append(Fault(kind="silence", after=1))
        started = time.monotonic()
        with pytest.raises(OutOfTime) as raised:
            ask(chat_on(server), "rain", seconds=2)
        assert time.monotonic() - started < 2
        assert not raised.value.blames_provider, "how long an attempt may take is for its user to say"

    def test_a_provider_that_is_silent_for_too_long_is_to_blame(self, server: FakeOpenAI) -> None:
        server.faults.append(Fault(kind="silence", after=1))
        endpoint = Endpoint(
            base_url=server.base_url, api_key="sk-right", models={"": "chat-small"}, read_timeout=0.2, tries=1
        )
        with pytest.raises(TimedOut) as raised:
            ask(OpenAIChat(endpoint), "rain")
        assert raised.value.blames_provider

    def test_a_stop_leaves_a_silent_provider_at_once(self, server: FakeOpenAI) -> None:
        server.faults.append(Fault(kind="silence", after=1))
        run = RecordedRun(stop_when=lambda seen: seen.checks >= 3)
        started = time.monotonic()
        with pytest.raises(Stopped):
            chat_on(server).run(a_request("rain"), run)
        assert time.monotonic() - started < 10
        assert run.text

    def test_a_stop_while_text_is_streaming_passes_through(self, server: FakeOpenAI) -> None:
        run = RecordedRun(stop_when=lambda seen: len(seen.deltas) >= 2)
        with pytest.raises(Stopped):
            chat_on(server).run(a_request("rain"), run)
        assert len(run.deltas) == 2


class TestRetryAfter:
    def test_understands_every_form(self) -> None:
        now = 1_800_000_000
        date, later = (email.utils.formatdate(moment, usegmt=True) for moment in (now, now + 90))
        assert retry_after({"retry-after": "3"}) == 3
        assert retry_after({"retry-after-ms": "1500", "retry-after": "9"}) == 1.5
        assert retry_after({"retry-after": later, "date": date}) == 90
        assert retry_after({"retry-after": date, "date": later}) == 0

    @pytest.mark.parametrize("value", ["", "soon", "nan", "inf", "-1", "1e9", "9999999999999"])
    def test_ignores_nonsense(self, value: str) -> None:
        assert retry_after({"retry-after": value, "retry-after-ms": value}) is None


WANTS_ROOM = ("overloaded_error", "server_overloaded", "slow_down", "rate_limit_exceeded")


def said(member: str, word: str) -> bytes:
    return json.dumps({"error": {"message": "sk-secret", member: word}}).encode()


class TestWantOfRoom:
    """A provider that has no room now has not tried the job: see what the attempt is worth in `outcomes`."""

    @pytest.mark.parametrize("member", ["code", "type"])
    @pytest.mark.parametrize("word", WANTS_ROOM)
    @pytest.mark.parametrize("status", [400, 403, 429, 500, 503, 529])
    def test_a_word_for_it_counts_whatever_the_status(self, status: int, word: str, member: str) -> None:
        failure = failure_of(status, {"retry-after": "7"}, said(member, word))
        assert isinstance(failure, Throttled)
        assert failure.retry_after == 7
        assert "sk-secret" not in str(failure)

    @pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"error": null}', said("code", "server_error")])
    @pytest.mark.parametrize(
        ("status", "headers", "wait"),
        [
            (429, {}, None),
            (529, {}, None),
            (529, {"retry-after": "9"}, 9),
            (503, {"retry-after": "9"}, 9),
            (503, {"retry-after-ms": "1500"}, 1.5),
            (503, {"retry-after": "0"}, 0),
            (503, {"retry-after": "soon"}, None),
        ],
    )
    def test_a_status_for_it(self, status: int, headers: dict[str, str], wait: float | None, body: bytes) -> None:
        failure = failure_of(status, headers, body)
        assert isinstance(failure, Throttled)
        assert failure.retry_after == wait

    @pytest.mark.parametrize(
        ("status", "headers", "word", "error"),
        [
            (503, {}, "server_error", ProviderUnavailable),
            (500, {"retry-after": "9"}, "server_error", ProviderUnavailable),
            (502, {"retry-after": "9"}, "server_error", ProviderUnavailable),
            (504, {"retry-after": "9"}, "server_error", ProviderUnavailable),
            (400, {"retry-after": "9"}, "invalid_request", ProviderRejected),
            (503, {"retry-after": "9"}, "content_filter", ContentRefused),
            (503, {"retry-after": "9"}, "insufficient_quota", QuotaExhausted),
            (529, {}, "insufficient_quota", QuotaExhausted),
        ],
    )
    def test_nothing_else_is_one(self, status: int, headers: dict[str, str], word: str, error: type[Exception]) -> None:
        assert type(failure_of(status, headers, said("code", word))) is error

    @pytest.mark.parametrize(("status", "code"), [(529, "server_error"), (400, "slow_down"), (503, "server_error")])
    def test_the_wait_that_is_asked_for_reaches_the_job(self, server: FakeOpenAI, status: int, code: str) -> None:
        server.faults.append(Fault(kind="status", status=status, code=code, headers={"Retry-After": "90"}))
        with pytest.raises(Throttled) as refused:
            ask(chat_on(server), "rain")
        assert refused.value.retry_after == 90
        assert len(server.calls) == 1

    @pytest.mark.parametrize("code", WANTS_ROOM)
    def test_in_the_middle_of_a_stream(self, server: FakeOpenAI, code: str) -> None:
        server.faults.append(Fault(kind="stream_error", code=code, after=1))
        with pytest.raises(Throttled):
            ask(chat_on(server), "rain")
