"""What a search means, said as plainly as possible: by reading every text."""

import re
from collections.abc import Iterable, Sequence

from atelier.catalog import search_terms
from tests.catalog.market import Made

# The letters that the tests use, not all that there are.
PIECES = re.compile("[a-z0-9é]+[+#]*|[\u4e00-\u9fff]+")


def found(agents: Sequence[Made], words: str) -> list[str]:
    """The slugs of those that have every piece, the best first. `agents` are in the order of their publication."""
    pieces = list(dict.fromkeys(_pieces(words)))[: search_terms.PIECES_MAX]
    ranked = [(_rank(one, pieces, words), place, one) for place, one in enumerate(agents) if _matches(one, pieces)]
    return [f"agent-{one.number}" for *_, one in sorted(ranked, key=lambda each: each[:2], reverse=True)]


def _matches(one: Made, pieces: Sequence[str]) -> bool:
    texts = [one.name, *one.tags, one.description]
    return bool(pieces) and all(_in(piece, texts) for piece in pieces)


def _rank(one: Made, pieces: Sequence[str], words: str) -> tuple[bool, int, int, int]:
    in_name = [_in(piece, [one.name]) for piece in pieces]
    in_tags = [_in(piece, one.tags) and not named for piece, named in zip(pieces, in_name, strict=True)]
    named = search_terms.fold(one.name) == search_terms.fold(words)
    return named, sum(in_name), sum(in_tags), one.counters.get("downloads_count", 0)


def _in(piece: str, texts: Iterable[str]) -> bool:
    if piece[0] >= "\u4e00":
        return any(piece in search_terms.fold(text) for text in texts)
    most = search_terms.LETTERS_MAX
    return any(word[:most].startswith(piece[:most]) for text in texts for word in _pieces(text))


def _pieces(text: str) -> list[str]:
    return PIECES.findall(search_terms.fold(text))
