"""The parts of the index that need no database."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.catalog import search_documents, search_rows, search_terms
from atelier.catalog.search_rows import BLOCK, LISTED_MAX

numbers = st.sets(st.integers(0, 3 * BLOCK), max_size=300)


@given(numbers)
def test_bits_are_numbers_and_back(wanted: set[int]) -> None:
    bits = sum(1 << number for number in wanted)
    assert list(search_rows.numbers(bits)) == sorted(wanted, reverse=True)


@given(numbers.filter(bool), st.data())
def test_the_highest_and_the_lowest_are_cut_off(wanted: set[int], data: st.DataObject) -> None:
    bits = sum(1 << number for number in wanted)
    count = data.draw(st.integers(1, len(wanted)))
    assert list(search_rows.numbers(search_rows.highest(bits, count))) == sorted(wanted)[::-1][:count]
    assert list(search_rows.numbers(search_rows.lowest(bits, count))) == sorted(wanted)[:count][::-1]


@given(st.sets(st.integers(0, 4 * BLOCK - 1), min_size=1, max_size=3 * LISTED_MAX))
def test_a_row_keeps_its_members_however_many(members: set[int]) -> None:
    encoded = search_rows.encoded(list(members))
    bits = int.from_bytes(search_rows.bitmap(encoded), "little")
    assert set(search_rows.numbers(bits)) == members
    one_by_one = b""
    for member in members:
        offset, mask = member % BLOCK, 0
        for field in range(search_rows.FIELDS):
            mask |= ((bits >> (field * BLOCK + offset)) & 1) << field
        one_by_one = search_rows.changed(one_by_one, [(offset, mask)])
    assert one_by_one == encoded
    offsets = {member % BLOCK for member in members}
    assert search_rows.changed(encoded, [(offset, 0) for offset in offsets]) == b""


def test_a_row_is_small_also_when_everyone_is_in_it() -> None:
    everyone = search_rows.encoded(list(range(4 * BLOCK)))
    chequered = search_rows.encoded(list(range(0, 4 * BLOCK, 7)))
    assert len(everyone) < 100
    assert len(chequered) <= 4 * BLOCK // 8 + 1


@given(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))
def test_codes_are_ordered_as_their_values(one: int, other: int) -> None:
    codes = search_documents.code(one), search_documents.code(other)
    assert all(0 <= code < 2**16 for code in codes)
    if one <= other:
        assert codes[0] <= codes[1]
    if max(one, other) < 2_048 and one != other:
        assert codes[0] != codes[1]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("AI绘画 v2.0", ["ai", "绘画", "v2", "0"]),
        ("C++/C#、Go", ["c++", "c#", "go"]),
        ("a\u200bb 海\u200b报", ["ab", "海报"]),
        ("＃１ “tag” + ++", ["1", "tag"]),
        ("ポスター制作", ["ポスター制作"]),
        ("naïve cafe\u0301 STRASSE straße", ["naïve", "café", "strasse"]),
        ("हिन्दी", ["हिन्दी"]),
        ("日本語text한국어", ["日本語", "text", "한국어"]),
        ("🎨🎨", []),
    ],
)
def test_a_text_falls_into_pieces(text: str, found: list[str]) -> None:
    folded = search_terms.searchable(text, length_max=100)
    assert [piece.text for piece in search_terms.pieces(folded)] == found


def test_a_piece_is_looked_up_by_few_keys() -> None:
    (run,) = search_terms.pieces("海报设计大师工坊与文案写作智能助手")
    assert len(run.keys) == search_terms.PAIRS_MAX
    assert not run.is_certain
    assert len(search_terms.pieces(" ".join(map(str, range(100, 200))))) == search_terms.PIECES_MAX
