"""Who is asking: a bounded cache from the Authorization header to the user behind it.

A token is verified, or an API key looked up, and its user is read once; after that a request costs one lookup. What
ends a token or a key is noticed at once in the process that did it (`forget`) and within a second elsewhere, from the
table of revocations. Nothing is believed longer than `FRESH_MS` without asking the database again, and nothing is
believed when it can't be asked.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.accounts import api_keys, key_tokens, queries
from atelier.accounts.api_keys import Bearer
from atelier.accounts.scopes import Scope
from atelier.kernel import clock, logs, tokens
from atelier.kernel.database import AsyncDatabase
from atelier.kernel.errors import Transient, Unauthorized
from atelier.kernel.keyring import Keyring
from atelier.kernel.tokens import Claims

log = logs.get(__name__)

ENTRIES_MAX = 20_000
HEADER_CHARS_MAX = 4_096
FRESH_MS = 30 * clock.SECOND_MS
POLL_SECONDS = 0.5
# A revocation gets its time before its transaction commits, and a transaction may last: look back this far each time.
OVERLAP_MS = 15 * clock.SECOND_MS
NEVER_MS = 253_370_764_799_000
"""When what has no end ends: with the last year that has four digits in every time zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRights:
    """What the API key that a request came with may do, and how often a minute; None: as often as its user."""

    key_id: str
    scopes: frozenset[str]
    requests_per_minute: int | None
    submissions_per_minute: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A signed-in user, or (with `key`) who stands for one with an API key, as of at most `FRESH_MS` ago."""

    user_id: str
    role: str
    version: int
    token_id: str
    expires_ms: int
    email: str
    email_verified: bool
    key: KeyRights | None = None

    def may(self, scope: Scope) -> bool:
        """Whether this is allowed: everything to a user, and to a key what its scopes name."""
        return self.key is None or scope in self.key.scopes

    @property
    def key_id(self) -> str | None:
        """The key's id, if there is one."""
        return self.key.key_id if self.key else None


class Ended(Protocol):
    """A revocation: of one token, or of all tokens of a user."""

    @property
    def token_id(self) -> str | None: ...
    @property
    def user_id(self) -> str | None: ...


LoadIdentity = Callable[[Claims], Awaitable[Identity | None]]
"""The user that a token names now, or None when the token no longer counts. Raises Transient."""

LoadKey = Callable[[str], Awaitable[Identity | None]]
"""Who the API key with this digest stands for now, or None when it no longer counts. Raises Transient."""

PollRevocations = Callable[[int | None], Awaitable[tuple[int, Sequence[Ended]]]]
"""From a database time (None: now) on: that database's time now, and what was ended since. Raises Transient."""


@dataclass(slots=True)
class _Entry:
    identity: Identity
    good_until_ms: int


class Identities:
    """The cache. One per process; everything but `identify` and `watch` is synchronous and for the event loop only."""

    def __init__(
        self,
        *,
        keyring: Keyring,
        load: LoadIdentity,
        poll: PollRevocations,
        load_key: LoadKey | None = None,
        entries_max: int = ENTRIES_MAX,
    ) -> None:
        self._keyring = keyring
        self._load = load
        self._load_key = load_key
        self._poll = poll
        self._entries_max = entries_max
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._by_token: dict[str, set[str]] = {}
        self._by_user: dict[str, set[str]] = {}
        self._forgotten = 0
        self._since_ms: int | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def known(self, header: str, now_ms: int) -> Identity | None:
        """The identity behind an Authorization header, if it is in the cache and still good."""
        entry = self._entries.get(header)
        if entry is None or now_ms >= entry.good_until_ms:
            return None
        self._entries.move_to_end(header)
        return entry.identity

    async def identify(self, header: str, now_ms: int) -> Identity:
        """The identity behind an Authorization header. Raises Unauthorized, or Transient when nobody can tell."""
        forgotten = self._forgotten
        token = _bearer(header)
        identity = await (self._of_key(token) if key_tokens.is_key(token) else self.of_token(token))
        # What was read before something was ended may be what was ended: it serves this request, but no later one.
        if forgotten == self._forgotten:
            self._keep(header, identity, now_ms)
        return identity

    async def of_token(self, token: str) -> Identity:
        """The identity behind a session's token that came another way. Raises Unauthorized or Transient."""
        identity = await self._load(tokens.verify(self._keyring, token))
        if identity is None:
            raise Unauthorized
        return identity

    async def _of_key(self, token: str) -> Identity:
        digest = key_tokens.digest_of(token)
        identity = await self._load_key(digest) if self._load_key else None
        if identity is None:
            raise Unauthorized
        return identity

    def forget(self, *, token_id: str | None = None, user_id: str | None = None) -> None:
        """Believe nothing that is cached of this token or of this user any longer."""
        self._forgotten += 1
        headers = self._by_token.get(token_id, set()) if token_id else set[str]()
        headers = headers | (self._by_user.get(user_id, set()) if user_id else set[str]())
        for header in headers:
            self._drop(header)

    async def watch(self) -> None:
        """Forget what other processes have ended, twice a second, until cancelled."""
        failing = False
        while True:
            try:
                await self.catch_up()
                failing = False
            except Transient as error:
                if not failing:
                    log.warning("identity.revocations_unreadable", code=error.code)
                failing = True
            await asyncio.sleep(POLL_SECONDS)

    async def catch_up(self) -> None:
        """Read the revocations since the last time, and forget."""
        if self._since_ms is None:
            # What was ended between a first request and the first look is read too.
            self._since_ms, _ = await self._poll(None)
        self._since_ms, ended = await self._poll(self._since_ms - OVERLAP_MS)
        for one in ended:
            self.forget(token_id=one.token_id, user_id=one.user_id)

    def _keep(self, header: str, identity: Identity, now_ms: int) -> None:
        self._drop(header)
        while len(self._entries) >= self._entries_max:
            self._drop(next(iter(self._entries)))
        self._entries[header] = _Entry(identity, min(identity.expires_ms, now_ms + FRESH_MS))
        self._by_token.setdefault(identity.token_id, set()).add(header)
        self._by_user.setdefault(identity.user_id, set()).add(header)

    def _drop(self, header: str) -> None:
        entry = self._entries.pop(header, None)
        if entry is None:
            return
        for index, key in ((self._by_token, entry.identity.token_id), (self._by_user, entry.identity.user_id)):
            headers = index[key]
            headers.discard(header)
            if not headers:
                del index[key]


def _bearer(header: str) -> str:
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or len(header) > HEADER_CHARS_MAX:
        raise Unauthorized
    return token.strip()


def from_database(db: AsyncDatabase) -> tuple[LoadIdentity, PollRevocations]:
    """Both questions, asked of the accounts."""

    async def load(claims: Claims) -> Identity | None:
        return await db.read(_identity, claims=claims)

    async def poll(since_ms: int | None) -> tuple[int, Sequence[Ended]]:
        return await db.read(_ended, since_ms=since_ms)

    return load, poll


def keys_from_database(db: AsyncDatabase) -> LoadKey:
    """The same for API keys."""

    async def load(digest: str) -> Identity | None:
        bearer = await db.read(api_keys.bearer, digest=digest)
        return _of_bearer(bearer) if bearer else None

    return load


def _of_bearer(bearer: Bearer) -> Identity:
    return Identity(
        user_id=bearer.user_id,
        role=bearer.role,
        version=bearer.version,
        token_id=bearer.key_id,
        expires_ms=NEVER_MS if bearer.expires_ms is None else bearer.expires_ms,
        email=bearer.email,
        email_verified=bearer.email_verified,
        key=KeyRights(
            key_id=bearer.key_id,
            scopes=bearer.scopes,
            requests_per_minute=bearer.requests_per_minute,
            submissions_per_minute=bearer.submissions_per_minute,
        ),
    )


def _identity(session: Session, *, claims: Claims) -> Identity | None:
    if claims.key_id is not None:
        bearer = api_keys.bearer(session, key_id=claims.key_id)
        return _of_bearer(bearer) if bearer else None
    row = queries.identity(session, user_id=claims.user_id)
    if row is None or row.status != "active" or row.token_version != claims.version:
        return None
    if queries.is_revoked(session, token_id=claims.token_id):
        return None
    return Identity(
        user_id=row.user_id,
        role=row.role,
        version=row.token_version,
        token_id=claims.token_id,
        expires_ms=claims.expires_ms,
        email=row.email,
        email_verified=row.email_verified,
    )


def _ended(session: Session, *, since_ms: int | None) -> tuple[int, Sequence[Ended]]:
    # The time is read before the rows: what commits in between is found by the next look, which begins earlier.
    now_ms = session.execute(select(clock.db_now_ms())).scalar_one()
    return now_ms, queries.revocations_since(session, since_ms=now_ms if since_ms is None else since_ms)
