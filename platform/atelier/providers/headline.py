"""A short headline out of a long prompt: what the work is about, without the words that ask for it."""

import re
from typing import Final

_ENGLISH_REQUEST: Final = re.compile(
    r"^(?:please\s+|can you\s+|could you\s+)*"
    r"(?:create|make|draw|design|generate|write|paint|compose|produce|give me|show me)\s+(?:me\s+|us\s+)?"
    r"(?:an?\s+|the\s+|some\s+)?"
    r"(?:(?:[\w-]+\s+){0,2}?(?:poster|cover|image|picture|illustration|pattern|wallpaper|outline|video|clip|music|track|"
    r"soundtrack|song|article|essay|text|introduction|description)s?\s+(?:for|of|about|showing|with|to|on)\s+)?",
    re.IGNORECASE,
)
_CHINESE_REQUEST: Final = re.compile(
    r"^(?:请|帮我|给我|为我|替我)*"
    # 画, 写 and 做 begin many nouns (画展, 写意), so they count as a request only before a measure word.
    r"(?:(?:生成|绘制|设计|制作|创作|编写)出?(?:一?[张幅个份段首篇款则])?|[画写做](?:一?[张幅个份段首篇款则]))"
    r"(?:关于|有关)?(?=.{2})"
)
_CHINESE_KIND: Final = re.compile(r"(?<=.{2})的?(?:海报|封面|图片|插画|壁纸|图案|视频|短片|音乐|配乐)$")
_MARKUP: Final = re.compile(r"[\s{}#*_`<>|\\]+")
_END_OF_CLAUSE: Final = re.compile(r"(?<=[.!?。！？；;])(?:\s|(?<=[。！？；]))")


def headline(prompt: str, *, longest: int) -> str:
    """Return the first sentence of a prompt on one line, cut at `longest` characters; never empty."""
    line = _MARKUP.sub(" ", prompt).strip()
    sentence = _END_OF_CLAUSE.split(line, maxsplit=1)[0].rstrip(".!?。！？；;,，、 ") or line or "…"
    if len(sentence) > longest:
        sentence = re.split(r"[,，、:：]", sentence, maxsplit=1)[0] or sentence
    for request in (_ENGLISH_REQUEST, _CHINESE_REQUEST, _CHINESE_KIND):
        sentence = request.sub("", sentence, count=1) or sentence
    sentence = sentence[0].upper() + sentence[1:]
    return sentence if len(sentence) <= longest else _cut(sentence, longest)


def _cut(sentence: str, longest: int) -> str:
    """Cut between words where there are any, and show that something is missing."""
    cut = sentence[: longest - 1]
    space = cut.rfind(" ")
    return (cut[:space] if space > longest // 2 else cut).rstrip(" ,，、") + "…"
