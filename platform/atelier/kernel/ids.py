"""Identifiers: UUID version 7 as text, so that ids sort by creation time in every database and need no conversion."""

import uuid_utils


def new_id() -> str:
    """A fresh UUIDv7, 36 characters, lower case."""
    return str(uuid_utils.uuid7())


def is_id(text: str) -> bool:
    """Whether `text` is a UUID in its canonical 36-character lower-case form."""
    try:
        return str(uuid_utils.UUID(text)) == text
    except ValueError:
        return False


def floor(ms: int) -> str:
    """The smallest UUIDv7 of this moment: ids made since then are not below it, so a range of time is one of ids."""
    digits = f"{max(0, min(ms, 2**48 - 1)):012x}"
    return f"{digits[:8]}-{digits[8:]}"
