"""Who asks: remembered for a moment, forgotten at once, and never guessed when nobody can tell."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from atelier.accounts import sessions
from atelier.kernel import ids, tokens
from atelier.kernel.clock import now_ms
from atelier.kernel.database import AsyncDatabase, Database, DatabaseUnavailable
from atelier.kernel.errors import Unauthorized
from atelier.kernel.keyring import Keyring
from atelier.kernel.settings import Settings
from atelier.kernel.tokens import Claims
from tests.servers import free_port
from tests.web import sample
from tests.web.sample import until
from web.identity import FRESH_MS, OVERLAP_MS, Ended, Identities, Identity, from_database

KEYRING = Keyring.of("0123456789abcdef0123456789abcdef")
NOW = 1_700_000_000_000


@dataclass(frozen=True)
class End:
    """A revocation."""

    token_id: str | None = None
    user_id: str | None = None


class Accounts:
    """What the database would say, and how often it was asked."""

    def __init__(self) -> None:
        self.loads = 0
        self.asked_since: list[int | None] = []
        self.ended: list[End] = []
        self.gone = False
        self.meanwhile: Callable[[], None] = lambda: None

    async def load(self, claims: Claims) -> Identity | None:
        """The user, whoever it is."""
        self.loads += 1
        if self.gone:
            raise DatabaseUnavailable
        if End(token_id=claims.token_id) in self.ended:
            return None
        found = Identity(
            user_id=claims.user_id,
            role="user",
            version=claims.version,
            token_id=claims.token_id,
            expires_ms=claims.expires_ms,
            email="a@b.c",
            email_verified=True,
        )
        self.meanwhile()
        return found

    async def poll(self, since_ms: int | None) -> tuple[int, Sequence[Ended]]:
        """Everything that was ended."""
        self.asked_since.append(since_ms)
        if self.gone:
            raise DatabaseUnavailable
        return 1_000_000 + len(self.asked_since), self.ended


def _header(user_id: str = "u", token_id: str = "t", *, seconds: int = 3_600) -> str:
    now = now_ms()
    token = tokens.issue(
        KEYRING, user_id=user_id, token_id=token_id, version=0, now_ms=now, expires_ms=now + seconds * 1_000
    )
    return f"Bearer {token}"


def _made(accounts: Accounts, **options: Any) -> Identities:
    return Identities(keyring=KEYRING, load=accounts.load, poll=accounts.poll, **options)


async def test_a_token_is_looked_up_once_and_again_when_it_is_no_longer_fresh() -> None:
    accounts, header = Accounts(), _header()
    made = _made(accounts)
    assert made.known(header, NOW) is None
    first = await made.identify(header, NOW)
    assert made.known(header, NOW + FRESH_MS - 1) is first
    assert made.known(header, NOW + FRESH_MS) is None
    assert accounts.loads == 1


async def test_no_token_is_known_beyond_its_end() -> None:
    made, header = _made(Accounts()), _header(seconds=3)
    identity = await made.identify(header, now_ms())
    assert made.known(header, identity.expires_ms - 1) is identity
    assert made.known(header, identity.expires_ms) is None


async def test_the_least_recently_used_are_dropped() -> None:
    made = _made(Accounts(), entries_max=3)
    headers = [_header("u", f"t{number}") for number in range(4)]
    for header in headers[:3]:
        await made.identify(header, NOW)
    assert made.known(headers[0], NOW)
    await made.identify(headers[3], NOW)
    assert [made.known(header, NOW) is not None for header in headers] == [True, False, True, True]
    assert len(made) == 3


async def test_forgetting_a_token_or_a_user_is_immediate_and_exact() -> None:
    made = _made(Accounts())
    headers = {(user, token): _header(user, token) for user, token in (("u", "t1"), ("u", "t2"), ("v", "t3"))}
    for header in headers.values():
        await made.identify(header, NOW)
    made.forget(token_id="t1")
    assert made.known(headers["u", "t1"], NOW) is None
    assert made.known(headers["u", "t2"], NOW)
    made.forget(user_id="u")
    assert made.known(headers["u", "t2"], NOW) is None
    assert made.known(headers["v", "t3"], NOW)
    made.forget(token_id="unknown", user_id="unknown")


async def test_what_is_ended_while_it_is_looked_up_is_not_remembered() -> None:
    accounts, header = Accounts(), _header()
    made = _made(accounts)
    accounts.meanwhile = lambda: made.forget(token_id="t")
    await made.identify(header, NOW)
    assert made.known(header, NOW) is None


async def test_revocations_are_read_again_over_a_span_because_commits_come_late() -> None:
    accounts, header = Accounts(), _header()
    made = _made(accounts)
    await made.catch_up()
    await made.identify(header, NOW)
    accounts.ended.append(End(token_id="t"))
    await made.catch_up()
    assert made.known(header, NOW) is None
    # The first look asks what time it is, and then reads from there on like every other.
    assert accounts.asked_since == [None, 1_000_001 - OVERLAP_MS, 1_000_002 - OVERLAP_MS]
    with pytest.raises(Unauthorized):
        await made.identify(header, NOW)


async def test_a_database_that_is_gone_is_no_reason_to_refuse_or_to_believe() -> None:
    accounts, header = Accounts(), _header()
    made = _made(accounts)
    accounts.gone = True
    with pytest.raises(DatabaseUnavailable):
        await made.identify(header, NOW)
    assert made.known(header, NOW) is None


async def test_watching_outlives_an_outage() -> None:
    accounts = Accounts()
    accounts.gone = True
    made = _made(accounts)
    task = asyncio.create_task(made.watch())
    try:
        await until(lambda: len(accounts.asked_since) >= 1)
        accounts.gone = False
        await until(lambda: accounts.asked_since[-1] is not None)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# -- against the real tables


async def test_the_database_decides_about_users_versions_and_tokens(db: Database, user_id: str) -> None:
    adb = AsyncDatabase(db)
    load, _ = from_database(adb)
    claims = Claims(user_id=user_id, token_id="t", version=0, expires_ms=NOW)
    found = await load(claims)
    assert found == Identity(
        user_id=user_id,
        role="user",
        version=0,
        token_id="t",
        expires_ms=NOW,
        email="Mei@example.com",
        email_verified=True,
    )
    assert await load(replace(claims, user_id=ids.new_id())) is None
    assert await load(replace(claims, version=1)) is None
    db.transact(sessions.revoke_token, token_id="t", expires_ms=NOW, revocation_id=ids.new_id())
    assert await load(claims) is None
    assert await load(replace(claims, token_id="t2")) is not None


async def test_another_process_notices_within_a_second(
    settings: Callable[..., Settings], db: Database, user_id: str
) -> None:
    # The loop below asks as often as it can, so no limit may answer in place of the identity.
    async with sample.site(settings(requests_per_minute=10_000_000)) as site:
        token = site.token(user_id, token_id=ids.new_id())
        assert (await site.ask("GET", "/api/me", token=token)).status == 200
        db.transact(sessions.revoke_all, user_id=user_id, revocation_id=ids.new_id(), now_ms=now_ms())
        began = asyncio.get_running_loop().time()
        while (await site.ask("GET", "/api/me", token=token)).status == 200:
            assert asyncio.get_running_loop().time() - began < 5  # a second, on a machine that does nothing else
        assert (await site.ask("GET", "/api/me", token=token)).code == "UNAUTHORIZED"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_an_outage_is_503_for_those_who_are_not_known_yet(
    settings: Callable[..., Settings],
) -> None:
    nowhere = f"mysql://nobody:secret@127.0.0.1:{free_port()}/atelier"
    async with sample.site(settings(database_url=nowhere)) as site:
        got = await site.ask("GET", "/api/me", token=site.token(ids.new_id()))
        assert (got.status, got.code) == (503, "UNAVAILABLE")
        assert got.headers["Retry-After"]
