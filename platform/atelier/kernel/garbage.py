"""The garbage collector, in processes that make many short-lived objects and few cycles."""

import gc

OBJECTS = 50_000
"""So many new objects between two looks at the youngest: a request or a task makes some thousands."""


def hold() -> None:
    """Look at nothing until `settle`: that took a seventh of the time in which a role is imported."""
    gc.disable()


def settle() -> None:
    """Call it when everything is imported: what is there now lives on, and isn't looked at again."""
    gc.freeze()
    gc.set_threshold(OBJECTS)
    gc.enable()
