"""How often a property is tried: a few times by default, `ATELIER_TEST_EXAMPLES` times as often in `make proof`."""

import os

TIMES = int(os.environ.get("ATELIER_TEST_EXAMPLES", "1"))


def examples(number: int) -> int:
    """So many examples by default."""
    return number * TIMES
