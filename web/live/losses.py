"""Text that is lost between what a feed has seen and what a job's stream still has.

A worker numbers its attempt's events one by one, so a piece of text that doesn't follow on what was there before it has
lost something: its stream was trimmed, or Redis was emptied or away. Progress may be missing, newer progress says it
all; so may the text of an attempt that another has followed, because the next one's text begins anew.
"""

from collections.abc import Sequence

from atelier.live.events import OUTPUT, PENDING, RUNNING
from atelier.live.wire import Notice


def end(past: Sequence[Notice], *, after: int) -> int | None:
    """Where the events go on behind the last loss, for who has seen this number; None when no text is lost."""
    seen, found = after, None
    for place, one in enumerate(past):
        if one.type in {PENDING, RUNNING}:
            found = None
        elif one.type == OUTPUT and one.seq > seen + 1:
            found = place
        seen = one.seq
    return found
