"""How a row of the index is written: a set of members, each a field and a number within the block.

A few members are a list, many a bitmap, packed where that makes it much smaller. The same set is always written alike.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

FIELDS: Final = 4
BLOCK_BITS: Final = 14
BLOCK: Final = 1 << BLOCK_BITS
FIELD_BYTES: Final = BLOCK // 8
EMPTY: Final = bytes(FIELDS * FIELD_BYTES)
LISTED_MAX: Final = 64  # members; beyond, a bitmap is smaller and faster
PACKED_MAX: Final = 4_000  # bytes; beyond, packing saves less than unpacking costs

_LISTED, _PACKED, _BITMAP = b"l", b"p", b"b"
_WORD_BITS: Final = 64


def member(field: int, offset: int) -> int:
    """The member that says: the agent at this offset of the block has the key in this field."""
    return field << BLOCK_BITS | offset


def encoded(members: Sequence[int]) -> bytes:
    """A row with these members; empty when there are none."""
    if len(members) <= LISTED_MAX:
        return _listed(sorted(members))
    bits = bytearray(EMPTY)
    for one in members:
        bits[one >> 3] |= 1 << (one & 7)
    return _packed(bytes(bits))


def changed(row: bytes, masks: Sequence[tuple[int, int]]) -> bytes:
    """A row after each (offset, mask): the agent at this offset has the key in exactly these fields."""
    bits = int.from_bytes(bitmap(row), "little")
    for offset, mask in masks:
        for field in range(FIELDS):
            bit = 1 << member(field, offset)
            bits = bits | bit if mask >> field & 1 else bits & ~bit
    if bits.bit_count() <= LISTED_MAX:
        return _listed(sorted(numbers(bits)))
    return _packed(bits.to_bytes(len(EMPTY), "little"))


def bitmap(row: bytes) -> bytes:
    """One bit for each member, the lowest first: FIELD_BYTES bytes for each field."""
    kind, content = row[:1], row[1:]
    if kind == _BITMAP:
        return content
    if kind == _PACKED:
        return zlib.decompress(content)
    bits = bytearray(EMPTY)
    for one in struct.unpack(f"<{len(content) // 2}H", content):
        bits[one >> 3] |= 1 << (one & 7)
    return bytes(bits)


def numbers(bits: int) -> Iterator[int]:
    """The numbers whose bits are set, the highest first."""
    words = _words(bits)
    for place in range(len(words) - 1, -1, -1):
        word, first = words[place], place * _WORD_BITS
        while word:
            number = word.bit_length() - 1
            yield first + number
            word ^= 1 << number


def highest(bits: int, count: int) -> int:
    """The highest so many, at least one, of the set bits."""
    last = next(islice(numbers(bits), count - 1, None), 0)
    return bits >> last << last


def lowest(bits: int, count: int) -> int:
    """The lowest so many, at least one, of the set bits."""
    for place, word in enumerate(_words(bits)):
        if count <= word.bit_count():
            last = place * _WORD_BITS + list(numbers(word))[-count]
            return bits & (2 << last) - 1
        count -= word.bit_count()
    return bits


def _listed(members: Sequence[int]) -> bytes:
    return _LISTED + struct.pack(f"<{len(members)}H", *members) if members else b""


def _packed(bits: bytes) -> bytes:
    packed = zlib.compress(bits, 1)
    return _PACKED + packed if len(packed) < PACKED_MAX else _BITMAP + bits


def _words(bits: int) -> tuple[int, ...]:
    count = -(-bits.bit_length() // _WORD_BITS)
    return struct.unpack(f"<{count}Q", bits.to_bytes(count * 8, "little"))
