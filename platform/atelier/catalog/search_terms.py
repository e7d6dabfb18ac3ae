"""What counts as a word, of a text and of what somebody types: pure functions.

A text falls into pieces: runs of letters and digits. In scripts that are written without blanks (Chinese, Japanese,
Korean, Thai, Lao, Burmese, Khmer) any part of a run may be looked for; in all others a word is found by how it begins.
Everything else separates. `+` and `#` behind a word belong to it, for the sake of C++ and C#.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Final

LETTERS_MAX: Final = 16  # of a word; longer words that begin alike are the same word
PIECES_MAX: Final = 16  # of what somebody types; the rest is not looked at
PAIRS_MAX: Final = 8  # of a run, that are looked up; beyond two letters the texts themselves decide

_UNBROKEN: Final = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1100, 0x11FF),  # Hangul, in parts
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # 々 〆 〇
    (0x3021, 0x3029),
    (0x3031, 0x303C),
    (0x3041, 0x31FF),  # kana, bopomofo
    (0x3400, 0x9FFF),
    (0xA960, 0xA97F),
    (0xAC00, 0xD7FF),  # Hangul
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
_WORD, _RUN, _SUFFIX, _NOTHING = "word", "run", "suffix", ""


@dataclass(frozen=True, slots=True)
class Piece:
    """A word, or a run of letters of a script without blanks."""

    text: str
    is_run: bool

    @property
    def keys(self) -> tuple[str, ...]:
        """What has to lead to a text that has this piece."""
        if not self.is_run:
            return (self.text[:LETTERS_MAX],)
        if len(self.text) == 1:
            return (self.text,)
        return tuple(dict.fromkeys(_pairs(self.text)))[:PAIRS_MAX]

    @property
    def is_certain(self) -> bool:
        """Whether every text that all keys lead to has this piece; otherwise its letters may lie apart."""
        return not self.is_run or len(self.text) <= 2


def fold(text: str) -> str:
    """The form in which texts are compared: compatibility forms and case are gone, blanks are single."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def searchable(text: str, *, length_max: int) -> str:
    """A text folded, without the characters that nobody sees, cut to what is looked at."""
    folded = fold(text)
    if not folded.isascii():
        folded = "".join(character for character in folded if unicodedata.category(character) != "Cf")
    return folded[:length_max]


def pieces(folded: str) -> list[Piece]:
    """The different pieces of a folded text, in their order, at most PIECES_MAX."""
    return list(dict.fromkeys(_pieces(folded)))[:PIECES_MAX]


def keys(folded: str) -> set[str]:
    """Every key that leads to a folded text."""
    found: set[str] = set()
    for piece in _pieces(folded):
        found.update(_keys(piece))
    return found


def first_keys(folded: str) -> set[str]:
    """The keys of what a folded text begins with."""
    first = next(_pieces(folded), None)
    if first is None:
        return set()
    return {first.text[0], first.text[:2]} if first.is_run else set(_keys(first))


def _keys(piece: Piece) -> Iterator[str]:
    if piece.is_run:
        yield from piece.text
        yield from _pairs(piece.text)
    else:
        word = piece.text[:LETTERS_MAX]
        for end in range(1, len(word) + 1):
            yield word[:end]


def _pairs(run: str) -> Iterator[str]:
    for place in range(len(run) - 1):
        yield run[place : place + 2]


def _pieces(folded: str) -> Iterator[Piece]:
    word = ""
    for kind, characters in groupby(folded, key=_kind):
        text = "".join(characters)
        if word and kind != _SUFFIX:
            yield Piece(word, is_run=False)
            word = ""
        if kind == _WORD:
            word = text
        elif kind == _SUFFIX and word:
            yield Piece(word + text, is_run=False)
            word = ""
        elif kind == _RUN:
            yield Piece(text, is_run=True)
    if word:
        yield Piece(word, is_run=False)


@lru_cache(maxsize=30_000)
def _kind(character: str) -> str:
    if character in "+#":
        return _SUFFIX
    if unicodedata.category(character)[0] not in "LMN":
        return _NOTHING
    code = ord(character)
    return _RUN if any(first <= code <= last for first, last in _UNBROKEN) else _WORD
