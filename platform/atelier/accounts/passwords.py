"""Passwords: argon2id with OWASP's minimum parameters, 19 MiB and some 22 ms each.

Hashing runs outside transactions and outside the event loop, two at a time: more would only trade memory for nothing.
"""

import asyncio
import functools
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from atelier.accounts import rules
from atelier.accounts.errors import HasherBusy
from atelier.kernel.errors import Invalid

BYTES_MAX = 1024
CHARACTERS_MIN = 8
THREADS = 2
WAITING_MAX = 64

R = TypeVar("R")
_argon2 = argon2.PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1, type=argon2.Type.ID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the password is the stored one, and whether its hash was made with older parameters."""

    matches: bool
    outdated: bool = False


def check_new(password: str, *, field: str = "password") -> None:
    """Raise Invalid when a password that someone chooses is too short or too long."""
    if len(password) < CHARACTERS_MIN:
        raise rules.invalid(
            field, "string_too_short", f"at least {CHARACTERS_MIN} characters", min_length=CHARACTERS_MIN
        )
    if _prepared(password) is None:
        raise _too_long(field)


def hash_now(password: str) -> str:
    """The argon2id hash, in this thread. Raises Invalid above 1 024 bytes."""
    prepared = _prepared(password)
    if prepared is None:
        raise _too_long("password")
    return _argon2.hash(prepared)


def verify_now(stored: str | None, password: str) -> Verdict:
    """Compare in this thread. None, for an unknown user, takes as long as a wrong password."""
    prepared = _prepared(password)
    try:
        _argon2.verify(stored or _of_nobody(), b"" if prepared is None else prepared)
    except (VerificationError, InvalidHashError):
        return Verdict(matches=False)
    if stored is None or prepared is None:
        return Verdict(matches=False)
    return Verdict(matches=True, outdated=_argon2.check_needs_rehash(stored))


class PasswordHasher:
    """The same for an event loop: a few threads, a bounded line before them, HasherBusy beyond it."""

    def __init__(self, executor: ThreadPoolExecutor | None = None, *, waiting_max: int = WAITING_MAX) -> None:
        self._executor = executor or ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._waiting_max = waiting_max
        self._unfinished = 0
        _of_nobody()  # else the first login of an unknown user would take twice as long

    async def hash(self, password: str) -> str:
        """As `hash_now`."""
        return await self._in_thread(functools.partial(hash_now, password))

    async def verify(self, stored: str | None, password: str) -> Verdict:
        """As `verify_now`."""
        return await self._in_thread(functools.partial(verify_now, stored, password))

    def close(self) -> None:
        """Wait for running hashes, drop waiting ones."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    async def _in_thread(self, work: Callable[[], R]) -> R:
        if self._unfinished >= self._waiting_max:
            raise HasherBusy("too many passwords are waiting")
        self._unfinished += 1
        running = asyncio.get_running_loop().run_in_executor(self._executor, work)
        running.add_done_callback(self._finished)
        return await running

    def _finished(self, _done: object) -> None:
        self._unfinished -= 1


def _too_long(field: str) -> Invalid:
    return rules.invalid(field, "string_too_long", f"at most {BYTES_MAX} bytes", max_length=BYTES_MAX)


def _prepared(password: str) -> bytes | None:
    """NFKC in UTF-8, so that one password is the same on every keyboard; None when it is longer than we hash."""
    if len(password) > BYTES_MAX:
        return None
    encoded = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    return encoded if len(encoded) <= BYTES_MAX else None


@functools.cache
def _of_nobody() -> str:
    return _argon2.hash(secrets.token_bytes(16))
