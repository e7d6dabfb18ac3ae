"""The keys that sign: the current one, and perhaps the one before it, whose signatures are still believed.

Only this module and `tokens` know that there may be two. A key is rotated by making a new secret the current one and
keeping the old one as the previous, and retired by leaving it out: README.md says how.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

SECRET_BYTES_MIN = 32
KID_CHARS = 16


@dataclass(frozen=True, slots=True)
class Key:
    """A secret, and `kid`, the name that tokens call it by. Who has the name can't tell the secret."""

    kid: str
    secret: bytes = field(repr=False)

    @classmethod
    def of(cls, secret: str) -> Self:
        """The key of a secret. Raises ValueError for one that HS256 doesn't take: under 32 bytes."""
        raw = secret.encode()
        if len(raw) < SECRET_BYTES_MIN:
            message = f"a secret has at least {SECRET_BYTES_MIN} bytes"
            raise ValueError(message)
        # Tokens sign texts with a dot and links such with a line break, so no signature is ever the name of a key.
        return cls(hmac.new(raw, b"kid", hashlib.sha256).hexdigest()[:KID_CHARS], raw)


@dataclass(frozen=True, slots=True)
class Keyring:
    """The key that new things are signed with, and the one before it while that is not retired."""

    current: Key
    previous: Key | None = None

    @classmethod
    @lru_cache(maxsize=16)
    def of(cls, current: str, previous: str = "") -> Self:
        """The keys of these secrets; no previous one where that is empty. Raises ValueError for a short secret.

        Made once for the same secrets: handlers ask for it with every request.
        """
        return cls(Key.of(current), Key.of(previous) if previous else None)

    @property
    def active(self) -> tuple[Key, ...]:
        """Every key whose signatures are believed, the current one first."""
        return (self.current,) if self.previous is None else (self.current, self.previous)

    def named(self, kid: str | None) -> tuple[Key, ...]:
        """The active keys that may have signed what says this of its key: none for a name that is not one of theirs.

        What names no key was signed before keys had names, and may be any active key's. That is no weaker: it is the
        signature that decides, and refusing would have signed everybody out on the day that names came.
        """
        return self.active if kid is None else tuple(key for key in self.active if key.kid == kid)


def stretched(secret: str) -> str:
    """The secret, or 64 characters made from a short one: a development may have one, as the front ends' example does.

    Nothing is gained by it but that HS256 takes the secret; production refuses a short one before.
    """
    raw = secret.encode()
    return secret if len(raw) >= SECRET_BYTES_MIN else hashlib.sha256(raw).hexdigest()
