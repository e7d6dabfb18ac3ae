"""Money in whole fen. Gateways write yuan with two decimals; nothing here is ever a float."""

import re
from typing import ClassVar

from atelier.kernel.errors import Refusal

_YUAN = re.compile(r"(0|[1-9][0-9]{0,9})(?:\.([0-9]{1,2}))?")
FEN_MAX = 10**12 - 1


class BadAmount(Refusal):
    """This is not an amount of yuan with at most two decimals."""

    code: ClassVar[str] = "AMOUNT_INVALID"


def fen(yuan: str) -> int:
    """The fen of an amount such as `9.90`. Raises BadAmount for anything else: signs, exponents, further digits."""
    found = _YUAN.fullmatch(yuan) if yuan.isascii() else None
    if found is None:
        raise BadAmount
    return int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))


def yuan(fen: int) -> str:
    """`9.90` for 990."""
    if not 0 <= fen <= FEN_MAX:
        raise BadAmount
    return f"{fen // 100}.{fen % 100:02d}"
