"""Texts that JSON can carry and UTF-8 can't: halves of characters, as an endpoint sends them that counts in UTF-16."""

HALF_UNKNOWN = "\ufffd"


def joined(text: str) -> tuple[str, str]:
    """The text with its halves put together, and a first half at its end, whose other half may still come.

    A half that has no other one becomes U+FFFD.
    """
    rest = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
    ready = text[: len(text) - len(rest)]
    return ready.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), rest


def whole(text: str) -> str:
    """The text, when nothing comes after it."""
    ready, rest = joined(text)
    return ready + HALF_UNKNOWN * len(rest)
