"""The outline composer: a useful, clearly labelled outline made by rules, in Chinese or English. It needs nothing."""

import hashlib
import re

from atelier.providers.contract import GenerationRequest, GenerationResult, Output, RunContext
from atelier.providers.headline import headline
from atelier.providers.language import is_chinese
from atelier.providers.outline_phrases import KINDS, LABELS, SECTIONS, TITLES, Section
from atelier.providers.parameters import Parameters
from atelier.providers.schemas import OUTLINE

INPUT_SCHEMA = OUTLINE.input
CONFIG_SCHEMA = OUTLINE.config
DEFAULT_CONFIG = OUTLINE.defaults

TEXT_TYPE = "text/markdown; charset=utf-8"

# Three Chinese sections alone have about 130 characters; the closing notes lift every outline over 200.
_CLOSING = {
    "en": (
        "How to use this outline: answer each section in two or three sentences of your own before writing in full.",
        "Keep the order as long as it helps, and change it as soon as the material asks for another one.",
    ),
    "zh": (
        "使用方法：动笔之前，先用自己的话为每一节写两三句回答，再把这些回答连成全文，不必追求一次写好，先求完整，再求准确。",
        "顺序有用就保留，材料需要时随时调整；每写完一节，都回头看看它是否仍在回答最初的问题，如果没有，就果断删去。",
    ),
}


class OutlineComposer:
    """The same prompt always gives the same outline, of at least 200 characters."""

    name: str = "outline"

    def run(self, request: GenerationRequest, context: RunContext) -> GenerationResult:
        """Compose the outline and stream it section by section."""
        sections = Parameters(request.parameters, CONFIG_SCHEMA).integer("sections")
        text = stream_outline(request.prompt, context, sections=sections)
        metadata = {"engine": "outline", "language": language_of(request.prompt)}
        return GenerationResult(
            outputs=(Output(type="text", content_type=TEXT_TYPE, data=text.encode(), metadata=metadata),),
        )


def stream_outline(prompt: str, context: RunContext, *, sections: int) -> str:
    """Compose, stream and return an outline with so many `sections`."""
    pieces = compose(prompt, sections=sections)
    for number, piece in enumerate(pieces, start=1):
        context.output(piece)
        context.progress(number / len(pieces), "outline")
    return "".join(pieces)


def compose(prompt: str, *, sections: int = 5) -> list[str]:
    """Return the outline as pieces to stream: the head, one piece per section, the closing notes."""
    language = language_of(prompt)
    topic = headline(prompt, longest=24 if language == "zh" else 72)
    pieces = [f"# {TITLES[language].format(topic=topic)}\n\n{LABELS[language]}\n\n"]
    for number, (heading, sentences) in enumerate(_chosen(language, prompt, sections), start=1):
        sentence = sentences[_pick(prompt, heading, len(sentences))].format(topic=topic)
        pieces.append(f"## {number}. {heading}\n\n{sentence}\n\n")
    pieces.append("---\n\n" + "\n\n".join(_CLOSING[language]) + "\n")
    return pieces


def language_of(prompt: str) -> str:
    """Return "zh" or "en", the two languages that outlines exist in."""
    return "zh" if is_chinese(prompt) else "en"


def _chosen(language: str, prompt: str, sections: int) -> tuple[Section, ...]:
    """Leave sections out of the middle, so that the first and the last one always stay."""
    every = SECTIONS[language][_kind_of(prompt)]
    return (*every[: sections - 1], every[-1])


def _kind_of(prompt: str) -> str:
    words = set(re.findall(r"[a-z]+", prompt.lower()))
    for kind, (english, chinese) in KINDS.items():
        if words.intersection(english) or any(word in prompt for word in chinese):
            return kind
    return "article"


def _pick(prompt: str, salt: str, count: int) -> int:
    """Choose by the prompt alone: equal prompts give equal outlines on every machine."""
    return hashlib.sha256(f"{salt}\0{prompt}".encode()).digest()[0] % count
