"""Which of those who match come first, without looking at each of them.

The index chooses a few more than a page needs by binary digits of what is ordered by: one intersection per digit,
however many match. The rows of the chosen then say their exact order. Digits follow the rows within minutes: see
`search_upkeep`.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from atelier.catalog import search_documents as documents
from atelier.catalog import search_postings as postings
from atelier.catalog import search_rows as rows
from atelier.catalog.models import AGENTS
from atelier.catalog.search_documents import Digits
from atelier.catalog.search_models import DOCUMENTS
from atelier.catalog.search_postings import NOWHERE
from atelier.catalog.search_query import Found
from atelier.catalog.search_rows import FIELDS

TIED_MAX: Final = 30
KEYS_AT_ONCE: Final = 4

A = AGENTS.c
D = DOCUMENTS.c
SORTED_BY: Final[dict[str, tuple[ColumnElement[Any], Digits]]] = {
    "createdAt": (A.created_ms, documents.CREATED),
    "rating": (A.rating_avg, documents.RATING),
    "downloads": (A.downloads_count, documents.DOWNLOADS),
    "price": (A.list_price, documents.PRICE),
}

_CHOSEN: Final = (documents.NUMBERED, A.status == "published")
_DOWNLOADED: Final = select(D.number, D.agent_id, A.downloads_count).join(AGENTS, A.id == D.agent_id).where(*_CHOSEN)


class Scale:
    """The digits of all values of one kind, read from the index as far as they are needed."""

    def __init__(self, session: Session, digits: Digits) -> None:
        self._session = session
        self._keys = digits.keys
        self._known: list[int] = []

    def __iter__(self) -> Iterator[int]:
        """The digits, the most significant first; bit n of each is that of agent number n."""
        place = 0
        while place < len(self._known) or self._more():
            yield self._known[place]
            place += 1

    def _more(self) -> bool:
        keys, self._keys = self._keys[:KEYS_AT_ONCE], self._keys[KEYS_AT_ONCE:]
        known = postings.read(self._session, keys)
        self._known += [known.get(key, NOWHERE)[field] for key in keys for field in reversed(range(FIELDS))]
        return bool(keys)


def top(bits: int, count: int, *, scale: Iterable[int], descending: bool = True, tied_max: int = TIED_MAX) -> int:
    """The first `count` of `bits`, and up to `tied_max` more with nearly the same value as the last of them.

    Where more than those are tied, the newest ones are taken, or in ascending order the oldest.
    """
    ahead, tied = 0, bits
    wanted, equal = count, bits.bit_count()  # of those who are tied: how many more are needed, and how many they are
    digits = iter(scale)
    while equal > tied_max and equal > wanted:
        digit = next(digits, None)
        if digit is None:
            return ahead | (rows.highest(tied, wanted) if descending else rows.lowest(tied, wanted))
        first = tied & digit if descending else tied & ~digit
        passed = first.bit_count()
        if passed >= wanted:
            tied, equal = first, passed
        else:
            ahead, tied = ahead | first, tied ^ first
            wanted, equal = wanted - passed, equal - passed
    return ahead | tied


class ByColumn:
    """In the order of a column, and of publication where that is equal."""

    def __init__(self, session: Session, *, sort: str, descending: bool) -> None:
        self._session = session
        self._descending = descending
        self._column, digits = SORTED_BY[sort]
        self._scale = Scale(session, digits)

    def best(self, _found: Found, bits: int, count: int) -> int:
        """See `search_query.Best`."""
        return top(bits, count, scale=self._scale, descending=self._descending)

    def page(self, found: Found, *, offset: int, limit: int) -> list[str]:
        """The ids of a page of the agents found."""
        column, number = self._column, D.number
        order = (column.desc(), number.desc()) if self._descending else (column.asc(), number.asc())
        chosen = self.best(found, found.bits, offset + limit)
        ids = select(A.id).join(DOCUMENTS, D.agent_id == A.id).where(*_CHOSEN).order_by(*order)
        return list(self._session.connection().scalars(ids.offset(offset).limit(limit), {"numbers": chosen}))


class ByRelevance:
    """Best match first: the whole name, then by how many pieces are in the name, then by how many are in tags.

    Where these are equal, what was downloaded more often is first, then what was published later.
    """

    def __init__(self, session: Session, *, popularity: Scale) -> None:
        self._session = session
        self._popularity = popularity

    def best(self, found: Found, bits: int, count: int) -> int:
        """See `search_query.Best`."""
        chosen, room = 0, count
        for group in _groups(found, bits):
            if room > 0:
                part = top(group, room, scale=self._popularity, tied_max=0)
                chosen |= part
                room -= part.bit_count()
        return chosen

    def page(self, found: Found, *, offset: int, limit: int) -> list[str]:
        """The ids of a page of the agents found."""
        chosen = self.best(found, found.bits, offset + limit)
        groups = enumerate(_groups(found, chosen))
        group_of = {number: place for place, group in groups for number in rows.numbers(group)}
        stored = self._session.connection().execute(_DOWNLOADED, {"numbers": chosen})
        ordered = sorted(stored, key=lambda row: (group_of[row[0]], -row[2], -row[0]))
        return [agent_id for _, agent_id, _ in ordered[offset : offset + limit]]


def _groups(found: Found, bits: int) -> Iterator[int]:
    """The bits that are equally relevant, the most relevant first."""
    yield found.named & bits
    rest = bits & ~found.named
    for in_names in _by_count(rest, [hit.name for hit in found.hits]):
        if in_names:
            yield from _by_count(in_names, [hit.tags & ~hit.name for hit in found.hits])


def _by_count(bits: int, sets: Sequence[int]) -> Iterator[int]:
    """The bits by how many of the sets they are in: those in all of them first, those in none last."""
    at_least = [bits, *(0 for _ in sets)]
    for place, one in enumerate(sets):
        for count in range(place, -1, -1):
            at_least[count + 1] |= at_least[count] & one
    above = 0
    for group in reversed(at_least):
        yield group & ~above
        above = group
