"""The local writer: the embedded model where it can serve, else the outline composer. The result says which one wrote.

SmolLM2 has 135 million parameters and reads English. It stays on the topic for two or three sentences, so an outline
is asked for section by section; other languages go to the composer at once.
"""

import time
from dataclasses import replace
from typing import Any, Final

from atelier.providers.contract import (
    GenerationRequest,
    GenerationResult,
    Output,
    ProviderRejected,
    ProviderUnavailable,
    RunContext,
)
from atelier.providers.headline import headline
from atelier.providers.language import is_mostly_latin
from atelier.providers.openai.chat import ChatAnswer, OpenAIChat
from atelier.providers.outline import TEXT_TYPE, language_of, stream_outline
from atelier.providers.parameters import Parameters
from atelier.providers.schemas import TEXT
from atelier.providers.seeds import seed_of

INPUT_SCHEMA = TEXT.input
CONFIG_SCHEMA = TEXT.config
DEFAULT_CONFIG = TEXT.defaults

SHORTEST_TEXT: Final = 200
_SHORTEST_SECTION: Final = 60
_SECTION_TOKENS: Final = 110
_EXTENSIONS: Final = 2
_GO_ON: Final = "Please go on and add two more sentences."

_SYSTEM: Final = "You are a helpful writer. Answer briefly and stay on the topic."
_QUESTIONS: Final = (
    ("The idea", "Say in two sentences what this is about and why people would care: {prompt}"),
    ("How it begins", "In two sentences, describe how this begins: {prompt}"),
    ("At the heart of it", "In two sentences, describe the most important part of this: {prompt}"),
    ("Who it is for", "In two sentences, describe the people who would enjoy this: {prompt}"),
    ("How it ends", "In two sentences, describe how this ends: {prompt}"),
    ("Next steps", "In two sentences, describe a practical first step for this: {prompt}"),
)


class _Unable(Exception):
    """The model cannot serve this request and nothing has been shown yet, so the composer may step in."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LocalText:
    """Writes at least 200 characters. `chat` is the adapter on the embedded server, None where there is none."""

    name: str = "local-text"

    def __init__(self, chat: OpenAIChat | None) -> None:
        self._chat = chat

    def run(self, request: GenerationRequest, context: RunContext) -> GenerationResult:
        """Write with the model or, before the first word is out, with the composer instead."""
        parameters = Parameters(request.parameters, CONFIG_SCHEMA)
        context.progress(0.0, "text")
        try:
            text, made = self._write(request, parameters, context)
        except _Unable as unable:
            text = stream_outline(request.prompt, context, sections=parameters.integer("sections"))
            made = {"engine": "outline", "reason": unable.reason}
        context.progress(1.0, "text")
        metadata = {**made, "language": language_of(request.prompt)}
        return GenerationResult(
            outputs=(Output(type="text", content_type=TEXT_TYPE, data=text.encode(), metadata=metadata),),
        )

    def _write(
        self, request: GenerationRequest, parameters: Parameters, context: RunContext
    ) -> tuple[str, dict[str, Any]]:
        """Return the model's text and what is told about it; raise _Unable while nothing has been shown."""
        if self._chat is None:
            raise _Unable("no_model")
        if not is_mostly_latin(request.prompt):
            raise _Unable("language")
        writer = _Writer(self._chat, request=request, parameters=parameters, context=context)
        if parameters.text("style") == "free":
            writer.write_freely(parameters.integer("maxTokens"))
        else:
            writer.write_outline(parameters.integer("sections"))
        return writer.text, {"engine": "smollm2", "seed": writer.seed, "completionTokens": writer.tokens}


class _Writer:
    """One text by the embedded model, in one or several answers. `text` is what has been written and shown so far."""

    def __init__(
        self, chat: OpenAIChat, *, request: GenerationRequest, parameters: Parameters, context: RunContext
    ) -> None:
        self._chat = chat
        self._request = request
        self._context = context
        self._temperature = parameters.number("temperature")
        self._deadline = time.monotonic() + request.timeout_seconds
        self.seed = seed_of(request, parameters)
        self.text = ""
        self.tokens = 0

    def write_outline(self, sections: int) -> None:
        """Write so many sections of two or three sentences each."""
        questions = (*_QUESTIONS[: sections - 1], _QUESTIONS[-1])
        before = f"# {headline(self._request.prompt, longest=72)}\n\n"
        for number, (title, question) in enumerate(questions, start=1):
            before += f"## {number}. {title}\n\n"
            asked = question.format(prompt=self._request.prompt)
            self._answer(asked, before=before, longest=_SECTION_TOKENS, shortest=_SHORTEST_SECTION)
            self._context.progress(number / len(questions), "text")
            before = "\n\n"

    def write_freely(self, longest: int) -> None:
        """Answer the prompt as it stands, and ask for more while the text is too short."""
        self._answer(self._request.prompt, before="", longest=longest, shortest=SHORTEST_TEXT)

    def _answer(self, asked: str, *, before: str, longest: int, shortest: int) -> None:
        """Write one answer after the text `before`; a model that stops too early is asked to go on, at most twice."""
        messages = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": asked}]
        answer = self._complete(messages, before=before, longest=longest)
        written = len(answer.text)
        for _ in range(_EXTENSIONS):
            if written >= shortest:
                break
            messages += [{"role": "assistant", "content": answer.text}, {"role": "user", "content": _GO_ON}]
            answer = self._complete(messages, before=" ", longest=longest)
            written += len(answer.text)
        if answer.finish == "length" and not self.text.endswith((".", "!", "?")):
            self._add("…")

    def _complete(self, messages: list[dict[str, str]], *, before: str, longest: int) -> ChatAnswer:
        body: dict[str, Any] = {
            "messages": messages,
            "max_tokens": longest,
            "temperature": self._temperature,
            "seed": self.seed,
            "repeat_penalty": 1.1,
        }
        left = replace(self._request, timeout_seconds=max(0.0, self._deadline - time.monotonic()))
        pending = before

        def emit(delta: str) -> None:
            nonlocal pending
            self._add(pending + delta)
            pending = ""

        try:
            answer = self._chat.complete(body, request=left, context=self._context, emit=emit)
        except (ProviderUnavailable, ProviderRejected) as error:
            if self.text:
                raise
            raise _Unable(error.code) from error
        self.tokens += answer.usage.get("completionTokens", 0)
        return answer

    def _add(self, delta: str) -> None:
        self.text += delta
        self._context.output(delta)
