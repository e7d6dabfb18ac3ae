"""How often a property is tried: a few times by default, `ATELIER_TEST_EXAMPLES` times as often in `make proof`."""

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("ATELIER_TEST_EXAMPLES", "1"))


def examples(number: int) -> int:
    """So many examples by default."""
    return number * TIMES


def of_machine(number: int, *, steps: int) -> settings:
    """The settings of a state machine on a real database: so many runs by default, of so many steps each."""
    return settings(
        max_examples=examples(number),
        stateful_step_count=steps,
        deadline=None,
        print_blob=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
