"""Chat completions with streaming: the wire format, and the provider "openai"."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from atelier.providers.contract import GenerationRequest, GenerationResult, Output, RunContext
from atelier.providers.errors import BadAnswer, ContentRefused, Interrupted, ModelMissing
from atelier.providers.openai import characters
from atelier.providers.openai.client import Endpoint, OpenAIClient, read_capped
from atelier.providers.openai.events import read_events
from atelier.providers.openai.failures import failure_in_stream
from atelier.providers.parameters import Parameters
from atelier.providers.schemas import OPENAI_CHAT

INPUT_SCHEMA = OPENAI_CHAT.input
CONFIG_SCHEMA = OPENAI_CHAT.config
DEFAULT_CONFIG = OPENAI_CHAT.defaults

_LONGEST_ANSWER: Final = 8_000_000
_LONGEST_WORD: Final = 200
_SAMPLING: Final = {"temperature": "temperature", "topP": "top_p", "seed": "seed"}


@dataclass(slots=True, kw_only=True)
class ChatAnswer:
    """What arrived so far. `finish` is "stop", "length" or another reason of the endpoint, "" while unfinished."""

    text: str = ""
    finish: str = ""
    usage: dict[str, int] = field(default_factory=dict[str, int])

    def public_usage(self, prompt: str) -> dict[str, Any]:
        """Return the tokens counted by the endpoint, or our own estimate when it counted none."""
        if self.usage:
            return {**self.usage, "estimated": False}
        counts = {"promptTokens": _estimate(prompt), "completionTokens": _estimate(self.text)}
        return {**counts, "totalTokens": sum(counts.values()), "estimated": True}


class OpenAIChat:
    """Any OpenAI-compatible chat endpoint: OpenAI, DashScope, Ollama, vLLM, llama.cpp."""

    name: str = "openai"

    def __init__(self, endpoint: Endpoint, *, max_tokens_field: str = "max_tokens") -> None:
        """Some models know only `max_completion_tokens`: name that field for them."""
        self._client = OpenAIClient(endpoint)
        self._max_tokens_field = max_tokens_field

    def run(self, request: GenerationRequest, context: RunContext) -> GenerationResult:
        """Answer the prompt, streaming the text as it arrives."""
        parameters = Parameters(request.parameters, CONFIG_SCHEMA)
        max_tokens = parameters.integer("maxTokens")
        body = {self._max_tokens_field: max_tokens, "messages": _messages(parameters.text("system"), request.prompt)}
        for ours, theirs in _SAMPLING.items():
            if parameters.has(ours):
                body[theirs] = request.parameters[ours]
        spoken = 0

        def emit(delta: str) -> None:
            nonlocal spoken
            spoken += len(delta)
            context.output(delta)
            # The length is unknown beforehand: the bar nears its end without ever reaching it too early.
            context.progress(min(0.99, spoken / (spoken + 2.0 * max_tokens)), "text")

        context.progress(0.0, "text")
        answer = self.complete(body, request=request, context=context, emit=emit)
        context.progress(1.0, "text")
        return GenerationResult(outputs=(_output(answer, request.prompt),))

    def complete(
        self, body: Mapping[str, Any], *, request: GenerationRequest, context: RunContext, emit: Callable[[str], None]
    ) -> ChatAnswer:
        """Stream one completion of `body` (messages and sampling) into `emit`, and return the whole answer.

        Raises Interrupted when the stream ends early, ContentRefused when a filter stopped it.
        """
        model = self._client.model(request)
        if not model:
            raise ModelMissing("no model is configured")
        asked = {"model": model, "stream": True, "stream_options": {"include_usage": True}, **body}

        async def read(response: httpx.Response) -> ChatAnswer:
            return await _read_answer(response, emit)

        answer = self._client.post("/chat/completions", asked, request=request, context=context, read=read)
        return _checked(answer)


async def _read_answer(response: httpx.Response, emit: Callable[[str], None]) -> ChatAnswer:
    answer, half = ChatAnswer(), ""

    def say(delta: str) -> None:
        if delta:
            answer.text += delta
            emit(delta)

    async for data in _chunks(response):
        if data == "[DONE]":
            answer.finish = answer.finish or "stop"
            break
        delta, half = characters.joined(half + _take(data, answer))
        say(delta)
        if len(answer.text) > _LONGEST_ANSWER:
            raise BadAnswer("the provider's answer is too large")
    say(characters.whole(half))
    return answer


async def _chunks(response: httpx.Response) -> AsyncIterator[str]:
    """Yield the JSON texts of the stream; an endpoint that cannot stream answers everything as one."""
    if "text/event-stream" in response.headers.get("content-type", ""):
        async for data in read_events(response.aiter_bytes()):
            yield data
    else:
        yield (await read_capped(response, longest=_LONGEST_ANSWER)).decode(errors="replace")


def _take(data: str, answer: ChatAnswer) -> str:
    """Read one chunk of a stream, or a whole answer that was not streamed, and return the text in it."""
    try:
        chunk = json.loads(data)
        if chunk.get("error"):
            raise failure_in_stream(chunk["error"])
        _take_usage(chunk.get("usage"), answer)
        pieces: list[str] = []
        for choice in chunk.get("choices") or ():
            said: Any = choice.get("delta") or choice.get("message")
            pieces.append((said and said.get("content")) or "")
            answer.finish = _word(choice.get("finish_reason")) or answer.finish
        return "".join(pieces)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise BadAnswer("the provider's stream is malformed") from error


def _word(said: Any) -> str:
    """What may go into the description of a result; nothing for what is no text."""
    return characters.whole(said[:_LONGEST_WORD]) if isinstance(said, str) else ""


def _take_usage(usage: Any, answer: ChatAnswer) -> None:
    names = {"prompt_tokens": "promptTokens", "completion_tokens": "completionTokens", "total_tokens": "totalTokens"}
    if usage:
        answer.usage = {ours: int(usage[theirs]) for theirs, ours in names.items() if usage.get(theirs) is not None}


def _checked(answer: ChatAnswer) -> ChatAnswer:
    if answer.finish == "content_filter":
        raise ContentRefused("the provider's content filter stopped the answer")
    if not answer.finish:
        raise Interrupted("the provider's stream ended early")
    if not answer.text:
        raise BadAnswer("the provider's answer is empty")
    return answer


def _messages(system: str, prompt: str) -> list[dict[str, str]]:
    instructions = [{"role": "system", "content": system}] if system else []
    return [*instructions, {"role": "user", "content": prompt}]


def _output(answer: ChatAnswer, prompt: str) -> Output:
    # Which model answered is the agent's author's to know, as all that it runs.
    metadata = {"finishReason": answer.finish, "usage": answer.public_usage(prompt)}
    return Output(type="text", content_type="text/plain; charset=utf-8", data=answer.text.encode(), metadata=metadata)


def _estimate(text: str) -> int:
    """Estimate tokens: about one for four Latin characters, and one for every character beyond them."""
    wide = sum(1 for character in text if character > "\u2e7f")
    return wide + (len(text) - wide + 3) // 4
