"""Money in answers: what front ends show, beside the fen that everybody calculates with."""

from typing import Annotated

from pydantic import Field, PlainSerializer, WithJsonSchema

PRICE_FEN_MAX = 10_000_000
CREDITS_MAX = 10_000_000


def yuan(fen: int) -> float:
    """The number that is written for these fen: at most two decimals, exact for every amount that there is."""
    return fen / 100


Yuan = Annotated[
    int,
    PlainSerializer(yuan, return_type=float),
    WithJsonSchema({"type": "number", "minimum": 0, "description": "yuan, two decimals"}, mode="serialization"),
]
"""For answers: fen here, yuan on the wire. For showing only; the field with `Fen` in its name is the amount."""

Fen = Annotated[int, Field(ge=1, le=PRICE_FEN_MAX, description="whole fen")]
"""For bodies: a price."""
