"""What the index knows of an agent, and every key that leads to it from that."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from sqlalchemy import ColumnElement, bindparam, delete, func, insert, select, update
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import Session
from sqlalchemy.types import UserDefinedType
from typing_extensions import override

from atelier.catalog import search_rows as rows
from atelier.catalog import search_terms as terms
from atelier.catalog.models import AGENTS, DESCRIPTION_MAX, NAME_MAX, TAGS_MAX
from atelier.catalog.search_models import DOCUMENTS, STATE
from atelier.catalog.search_postings import DESCRIPTION, NAME, START, TAGS
from atelier.kernel.database import matched

A = AGENTS.c
D = DOCUMENTS.c
FACT: Final = 1 << START  # the one field of a key that is no word
TAG_MAX: Final = 50
_EPOCH_MS: Final = 1_600_000_000_000  # no agent is older
_TICK_BITS: Final = 12  # of a time in milliseconds that its digits leave out: four seconds
_COPIED: Final = (
    A.category_id,
    A.price_type,
    A.creator_id,
    A.list_price,
    A.rating_avg,
    A.downloads_count,
    A.created_ms,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A row of the table of documents."""

    number: int
    agent_id: str
    name: str
    tags: str
    description: str
    category_id: str
    price_type: str
    creator_id: str
    list_price: int
    rating_avg: int
    downloads_count: int
    created_ms: int


@dataclass(frozen=True, slots=True)
class Digits:
    """The keys of the binary digits of a value by which agents are ordered, the most significant first.

    Four digits to a key, each a field, the last field the most significant.
    """

    prefix: str
    length: int

    @property
    def keys(self) -> list[str]:
        """One key for each four digits."""
        return [f"{self.prefix}{place}" for place in range(self.length)]

    def masks(self, code: int) -> dict[str, int]:
        """The masks of the keys that are not 0000."""
        nibbles = (code >> 4 * (self.length - 1 - place) & 15 for place in range(self.length))
        return {f"{self.prefix}{place}": nibble for place, nibble in enumerate(nibbles) if nibble}


CREATED: Final = Digits("@created", 7)
RATING: Final = Digits("@rating", 3)
DOWNLOADS: Final = Digits("@downloads", 4)
PRICE: Final = Digits("@price", 4)


class _Numbers(UserDefinedType[int]):
    """Bits, written into a statement as a list: a thousand parameters cost the driver more than the server."""

    cache_ok = True

    @override
    def literal_processor(self, dialect: Dialect) -> Any:
        def written(value: int) -> str:
            return f"({','.join(map(str, rows.numbers(value)))})"

        return written


NUMBERED: Final[ColumnElement[bool]] = D.number.op("IN", is_comparison=True)(
    bindparam("numbers", type_=_Numbers, literal_execute=True)
)
"""Whether a document's number is one of the bits `numbers`, which a statement with this condition is executed with."""


def lock(session: Session) -> None:
    """Let nobody else change the index until this transaction ends. Take it after the rows that it is about."""
    held = matched(session, update(STATE).where(STATE.c.id == 1).values(writes=STATE.c.writes + 1))
    assert held == 1, "the first version of the tables puts the row there"


def stored(session: Session, *, agent_ids: Sequence[str]) -> dict[str, Document]:
    """What is known of these agents."""
    known = session.connection().execute(select(DOCUMENTS).where(D.agent_id.in_(agent_ids))).mappings()
    return {row["agent_id"]: Document(**row) for row in known}


def facts(session: Session, *, agent_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What the agents' own rows say that is copied to documents."""
    known = session.connection().execute(select(A.id, *_COPIED).where(A.id.in_(agent_ids)))
    return {row[0]: dict(zip(_COPIED_NAMES, row[1:], strict=True)) for row in known}


def made(
    *, number: int, agent_id: str, name: str, tags: Sequence[str], description: str, copied: Mapping[str, Any]
) -> Document:
    """A document of an agent's texts, as they are shown, and of `facts`."""
    return Document(
        number=number,
        agent_id=agent_id,
        name=terms.searchable(name, length_max=NAME_MAX),
        tags="\n".join(terms.searchable(tag, length_max=TAG_MAX) for tag in tags)[:TAGS_MAX],
        description=terms.searchable(description, length_max=DESCRIPTION_MAX),
        **copied,
    )


def next_number(session: Session) -> int:
    """The number of the next document; the caller holds the lock."""
    return (session.connection().scalar(select(func.max(D.number))) or 0) + 1


def put(session: Session, documents: Sequence[Document]) -> None:
    """Write documents in the place of those that their agents had."""
    if documents:
        drop(session, agent_ids=[document.agent_id for document in documents])
        session.connection().execute(insert(DOCUMENTS), [asdict(document) for document in documents])


def drop(session: Session, *, agent_ids: Sequence[str]) -> None:
    """Delete the documents of these agents."""
    session.connection().execute(delete(DOCUMENTS).where(D.agent_id.in_(agent_ids)))


def masks(document: Document) -> dict[str, int]:
    """Every key that leads to a document, with the fields in which it is."""
    found: dict[str, int] = {}
    tags = document.tags.split("\n") if document.tags else []
    for field, text in ((NAME, document.name), (DESCRIPTION, document.description), *((TAGS, tag) for tag in tags)):
        bit = 1 << field
        for key in terms.keys(text):
            found[key] = found.get(key, 0) | bit
    for key in terms.first_keys(document.name):
        found[key] |= 1 << START
    values = (in_category(document.category_id), of_type(document.price_type), by_creator(document.creator_id))
    found.update(dict.fromkeys((named(document.name), *values, *map(tagged, tags)), FACT))
    return found | digits(document)


def digits(document: Document) -> dict[str, int]:
    """The keys that order a document."""
    return {
        **CREATED.masks(max(0, document.created_ms - _EPOCH_MS) >> _TICK_BITS),
        **RATING.masks(document.rating_avg),
        **DOWNLOADS.masks(code(document.downloads_count)),
        **PRICE.masks(code(document.list_price)),
    }


def code(value: int) -> int:
    """Sixteen bits that are ordered as the values are; exact below 2 048."""
    beyond = max(0, value.bit_length() - 12)
    return value if value < 2_048 else (beyond + 1 << 11) + (value >> beyond) - 2_048


def in_category(category_id: str) -> str:
    """The key of the agents of a category."""
    return f"@category:{category_id}"


def of_type(price_type: str) -> str:
    """The key of the agents that are sold so."""
    return f"@type:{price_type}"


def by_creator(user_id: str) -> str:
    """The key of a creator's agents."""
    return f"@creator:{user_id}"


def tagged(tag: str) -> str:
    """The key of the agents with this tag, in any case."""
    return f"@tag:{terms.searchable(tag, length_max=TAG_MAX)}"


def named(name: str) -> str:
    """The key of the agents with exactly this name, in any case."""
    folded = terms.searchable(name, length_max=NAME_MAX)
    return f"@name:{hashlib.blake2b(folded.encode(), digest_size=12).hexdigest()}"


_COPIED_NAMES: Final = [column.name for column in _COPIED]
assert {column.name for column in DOCUMENTS.columns} == {field.name for field in fields(Document)}
