"""Numbers that name orders to gateways."""

import re
from math import log2

from atelier.orders import numbers


def test_a_number_fits_both_gateways_and_nobody_guesses_it() -> None:
    found = {numbers.new_order_no(1_767_196_800_000) for _ in range(2_000)}  # 2026-01-01 00:00 in Beijing
    assert len(found) == 2_000
    assert all(re.fullmatch(r"20260101[0-9A-Z]{24}", one) for one in found)
    assert set("".join(one[8:] for one in found)) == set(numbers.DIGITS)
    assert log2(len(numbers.DIGITS)) * numbers.CHANCE >= 100


def test_the_day_is_the_one_in_beijing() -> None:
    assert numbers.new_order_no(1_767_196_799_999)[:8] == "20251231"
