"""Who has the keys of a question."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Final

from sqlalchemy import Column, func, select
from sqlalchemy.orm import Session

from atelier.catalog import search_documents as documents
from atelier.catalog import search_postings as postings
from atelier.catalog import search_terms as terms
from atelier.catalog.search_models import DOCUMENTS
from atelier.catalog.search_postings import DESCRIPTION, NAME, NOWHERE, START, TAGS, Fields
from atelier.catalog.search_terms import Piece

QUERY_MAX: Final = 100
COUNTED_MAX: Final = 1_000
CHECKED_AT_ONCE: Final = 1_100

D = DOCUMENTS.c
Best = Callable[["Found", int, int], int]
"""Of a finding and a part of its bits, the best so many (or a few more)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """Who has a piece of a text, and where: bits by number."""

    piece: Piece
    start: int
    name: int
    tags: int
    description: int

    @property
    def anywhere(self) -> int:
        """Who has it in any field."""
        return self.name | self.tags | self.description


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Who matches. `named` are those whose name is the whole text; `hits` are empty where no text was asked for."""

    bits: int
    named: int = 0
    hits: tuple[Hit, ...] = ()

    @property
    def is_certain(self) -> bool:
        """Whether the keys alone have decided."""
        return all(hit.piece.is_certain for hit in self.hits)


def find(session: Session, *, text: str | None, facts: Sequence[str]) -> Found:
    """Who has every piece of `text` somewhere and all the keys `facts`. A text without any piece finds nothing.

    Of a run of more than two letters this says only that its pairs are all in one field: see `confirmed`.
    """
    folded = terms.searchable(text[:QUERY_MAX], length_max=QUERY_MAX) if text is not None else ""
    pieces = terms.pieces(folded)
    if text is not None and not pieces:
        return Found(bits=0)
    named = documents.named(folded)
    known = postings.read(session, [*facts, named, *(key for piece in pieces for key in piece.keys)])
    hits = tuple(_hit(piece, [known.get(key, NOWHERE) for key in piece.keys]) for piece in pieces)
    sets = [*(known.get(fact, NOWHERE)[START] for fact in facts), *(hit.anywhere for hit in hits)]
    bits = postings.common(sets)
    return Found(bits=bits, named=known.get(named, NOWHERE)[START] & bits, hits=hits)


def confirmed(session: Session, found: Found, *, best: Best) -> Found:
    """The finding without those who have the pairs of a run apart, after reading their texts, the best ones first.

    It ends at the first COUNTED_MAX + 1 or a few more: so many are enough to count and to show.
    """
    if found.is_certain:
        return found
    kept, rest = 0, found.bits
    while rest and kept.bit_count() <= COUNTED_MAX:
        some = best(found, rest, CHECKED_AT_ONCE)
        rest ^= some
        hits = tuple(_read(session, hit, some) for hit in found.hits)
        kept |= postings.common([some, *(hit.anywhere for hit in hits)])
        found = replace(found, hits=hits)
    return Found(bits=kept, named=found.named & kept, hits=found.hits)


def _hit(piece: Piece, fields: Sequence[Fields]) -> Hit:
    start, *_ = fields
    name, tags, description = (postings.common(each[field] for each in fields) for field in (NAME, TAGS, DESCRIPTION))
    return Hit(piece=piece, start=start[START] & name, name=name, tags=tags, description=description)


def _read(session: Session, hit: Hit, some: int) -> Hit:
    """The hit as it is after the texts of `some` have been read."""
    if hit.piece.is_certain:
        return hit
    name, tags, description = (
        bits & ~_without(session, column, hit.piece.text, bits & some)
        for column, bits in ((D.name, hit.name), (D.tags, hit.tags), (D.description, hit.description))
    )
    return replace(hit, start=hit.start & name, name=name, tags=tags, description=description)


def _without(session: Session, column: Column[str], text: str, bits: int) -> int:
    """Those of `bits` in whose column the text is not."""
    if not bits:
        return 0
    lacking = select(D.number).where(documents.NUMBERED, func.instr(column, text) == 0)
    return reduce(lambda left, number: left | 1 << number, session.connection().scalars(lacking, {"numbers": bits}), 0)
