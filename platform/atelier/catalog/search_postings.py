"""Which agents have a key, kept as bits: numbers in blocks of 16 384, four fields each, one row per key and block.

Read back, a key is one integer per field whose bit n says whether agent number n has the key there: an intersection of
any two keys of a hundred thousand agents costs a microsecond, however many agents have them.

Besides words, keys are values that agents are filtered by (`@category…`), and the binary digits of what they are
ordered by: four digits to a key, a digit being a field.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.orm import Session

from atelier.catalog import search_rows as rows
from atelier.catalog.search_models import POSTINGS
from atelier.catalog.search_rows import BLOCK, BLOCK_BITS, EMPTY, FIELD_BYTES, FIELDS

START, NAME, TAGS, DESCRIPTION = range(FIELDS)
ROWS_MAX: Final = 500

P = POSTINGS.c
Fields = tuple[int, int, int, int]
NOWHERE: Final[Fields] = (0, 0, 0, 0)
_STORED: Final = select(P.key, P.block, P.bits).where(P.key.in_(bindparam("keys", expanding=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What leads to an agent before and after: for each key a mask of the fields in which it is."""

    number: int
    before: Mapping[str, int]
    after: Mapping[str, int]


class Gathered:
    """A block in the making: many agents at once."""

    def __init__(self, block: int) -> None:
        self._block = block
        self._members: defaultdict[str, list[int]] = defaultdict(list)

    def add(self, number: int, masks: Mapping[str, int]) -> None:
        """An agent of this block, once."""
        offset = number & (BLOCK - 1)
        members = self._members
        for key, mask in masks.items():
            for start in _MEMBERS[mask]:
                members[key].append(start | offset)

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the block, in the order of the table."""
        return [
            {"key": key, "block": self._block, "bits": rows.encoded(self._members[key])}
            for key in sorted(self._members)
        ]


def read(session: Session, keys: Iterable[str]) -> dict[str, Fields]:
    """The bits of these keys; a key that leads nowhere is left out."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    found: defaultdict[str, dict[int, bytes]] = defaultdict(dict)
    stored = session.connection().execute(_STORED, {"keys": wanted})
    for key, block, bits in stored:
        found[key][block] = rows.bitmap(bits)
    return {key: _fields(blocks) for key, blocks in found.items()}


def apply(session: Session, changes: Iterable[Change]) -> None:
    """Write changes. The caller holds the index's lock."""
    blocks: dict[int, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for change in changes:
        for key in change.before.keys() | change.after.keys():
            mask = change.after.get(key, 0)
            if mask != change.before.get(key, 0):
                blocks[change.number >> BLOCK_BITS][key].append((change.number & (BLOCK - 1), mask))
    for block, of_keys in sorted(blocks.items()):
        keys = sorted(of_keys)
        for first in range(0, len(keys), ROWS_MAX):
            _rewrite(session, block, {key: of_keys[key] for key in keys[first : first + ROWS_MAX]})


def replace(session: Session, *, gathered: Gathered, block: int) -> None:
    """Put what was gathered in the place of the whole block. The caller holds the index's lock."""
    session.connection().execute(delete(POSTINGS).where(P.block == block))
    made = gathered.rows()
    for first in range(0, len(made), ROWS_MAX):
        session.connection().execute(insert(POSTINGS), made[first : first + ROWS_MAX])


def common(sets: Iterable[int]) -> int:
    """The bits that are in all of these sets, at least one."""
    return reduce(lambda left, right: left & right, sets)


def _fields(blocks: Mapping[int, bytes]) -> Fields:
    bitmaps = [blocks.get(block, EMPTY) for block in range(max(blocks) + 1)]
    start, name, tags, description = (
        int.from_bytes(b"".join(bitmap[first : first + FIELD_BYTES] for bitmap in bitmaps), "little")
        for first in range(0, len(EMPTY), FIELD_BYTES)
    )
    return start, name, tags, description


def _rewrite(session: Session, block: int, of_keys: Mapping[str, Sequence[tuple[int, int]]]) -> None:
    there = (P.block == block) & P.key.in_(list(of_keys))
    stored = dict(session.connection().execute(select(P.key, P.bits).where(there)).all())
    changed = {key: rows.changed(stored.get(key, b""), masks) for key, masks in of_keys.items()}
    if stored:
        session.connection().execute(delete(POSTINGS).where(there))
    if left := [{"key": key, "block": block, "bits": bits} for key, bits in changed.items() if bits]:
        session.connection().execute(insert(POSTINGS), left)


# What a mask of fields adds to an offset to make its members.
_MEMBERS: Final = tuple(
    tuple(rows.member(field, 0) for field in range(FIELDS) if mask >> field & 1) for mask in range(1 << FIELDS)
)
