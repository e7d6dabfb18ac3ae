"""API keys as text: `atk_`, 32 random letters and digits, and a checksum of six that tells typing errors from keys.

190 bits are random, so a plain digest is as good a way to keep them as any: nobody can try them out. The checksum
proves nothing; it spares the database a question, and lets scanners for secrets tell a key from what looks like one.
"""

import string
import zlib
from dataclasses import dataclass, field
from typing import Self

from atelier.kernel import tokens
from atelier.kernel.errors import Unauthorized

PREFIX = "atk_"
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM_CHARS = 32
CHECK_CHARS = 6
SHOWN_CHARS = 4
_CHARS = frozenset(ALPHABET)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyToken:
    """A key as its owner sees it once: `text` whole, and what is kept of it."""

    text: str = field(repr=False)
    digest: str = field(repr=False)
    prefix: str
    last_four: str

    @classmethod
    def of(cls, random: str) -> Self:
        """The key with this random part, of `RANDOM_CHARS` out of `ALPHABET`."""
        body = PREFIX + random
        text = body + _checksum(body)
        return cls(
            text=text,
            digest=tokens.digest(text),
            prefix=text[: len(PREFIX) + SHOWN_CHARS],
            last_four=text[-SHOWN_CHARS:],
        )


def digest_of(token: str) -> str:
    """How the key is kept that a request came with. Raises Unauthorized for what can't be a key."""
    body, check = token[:-CHECK_CHARS], token[-CHECK_CHARS:]
    whole = len(token) == len(PREFIX) + RANDOM_CHARS + CHECK_CHARS
    if not whole or not _CHARS.issuperset(token[len(PREFIX) :]) or check != _checksum(body):
        raise Unauthorized
    return tokens.digest(token)


def is_key(token: str) -> bool:
    """Whether this claims to be a key and not a session's token."""
    return token.startswith(PREFIX)


def _checksum(body: str) -> str:
    rest, found = zlib.crc32(body.encode()), ""
    for _ in range(CHECK_CHARS):
        rest, digit = divmod(rest, len(ALPHABET))
        found = ALPHABET[digit] + found
    return found
