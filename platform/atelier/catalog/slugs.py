"""Names of agents for addresses: short, plain ASCII, never empty."""

import re
import unicodedata
from typing import Final

LENGTH_MAX: Final = 60
UNNAMED: Final = "agent"
_OTHER: Final = re.compile(r"[^a-z0-9]+")
_SUFFIX: Final = 8


def candidates(name: str, *, agent_id: str) -> list[str]:
    """Slugs for this name, the nicest first; the last one has the whole id, so no other agent has it.

    Letters lose their accents; a name without any letter or digit of ASCII, as Chinese ones, is told by its id.
    """
    plain = unicodedata.normalize("NFKD", name).casefold().encode("ascii", "ignore").decode()
    words = _OTHER.sub("-", plain)[:LENGTH_MAX].strip("-")
    # The end of a UUIDv7 is random; its beginning is a time, which agents made together share.
    digits = agent_id.replace("-", "")
    short = f"{words or UNNAMED}-{digits[-_SUFFIX:]}"
    return [*([words] if words else []), short, f"{UNNAMED}-{digits}"]
