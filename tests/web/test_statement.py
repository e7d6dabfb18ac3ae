"""The statement as a table: all of it, however long, and never a part that looks like the whole."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import ClientError, web
from sqlalchemy.orm import Session

from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from atelier.ledger import queries, service
from atelier.ledger.service import Entry
from tests.live.harness import World, serving
from tests.web import sample
from web import tables
from web.handlers import credits as statement
from web.routing import Call, Endpoint

LINES = 2 * statement.LINES_PER_READ + 1
ONE_DATABASE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def _top_up(session: Session, *, user_id: str, number: int) -> None:
    for each in range(number):
        key = new_id()
        entry = Entry(transfer_id=key, key=f"topup:{key}", user_id=user_id, amount=1, note=f"={each}")
        service.topup(session, entry, now_ms=now_ms())


@ONE_DATABASE
async def test_no_line_is_left_out(db: Database, settings: Callable[..., Settings]) -> None:
    chosen = settings(web_relay=False)
    me = World(db, chosen).person()
    db.transact(_top_up, user_id=me.id, number=LINES)
    async with serving(chosen) as served:
        answer = await served.client.get(
            "/api/payments/credits/history", headers={**me.headers, "Accept": "text/csv", "Accept-Language": "en"}
        )
        rows = list(csv.DictReader(io.StringIO((await answer.read()).decode("utf-8-sig"))))
    assert [int(row["balanceAfter"]) for row in rows] == list(range(LINES, 0, -1))
    assert rows[0]["description"] == f"Credits bought ={LINES - 1}"


def test_lines_before_one_are_read_by_its_version(db: Database) -> None:
    user_id, other = new_id(), new_id()
    for one in (user_id, other):
        db.transact(service.open_account, user_id=one, now_ms=now_ms())
        db.transact(_top_up, user_id=one, number=5)
    seen: list[int] = []
    version: int | None = None
    while lines := db.read(queries.statement_before, user_id=user_id, version=version, limit=2):
        seen += [line.balance_after for line in lines]
        version = lines[-1].version
    assert seen == [5, 4, 3, 2, 1]


@ONE_DATABASE
async def test_a_table_that_breaks_off_is_no_whole_one(settings: Callable[..., Settings]) -> None:
    async def pages() -> AsyncIterator[Sequence[Sequence[Any]]]:
        yield [("1",)]
        raise OSError

    async def send(call: Call) -> web.StreamResponse:
        return await tables.send(call, pages(), name="numbers.csv", columns=["number"])

    broken = Endpoint(method="GET", path="/numbers", handler=send, summary=("数", "Numbers"), tag="docs", auth="public")
    async with sample.serving(settings(), (broken,)) as site:
        with pytest.raises(ClientError):
            await (await site.client.get("/numbers", headers={"Accept": "text/csv"})).read()


@ONE_DATABASE
async def test_an_error_is_never_written_into_an_answer_that_has_begun(settings: Callable[..., Settings]) -> None:
    async def send(call: Call) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "2000"})
        await response.prepare(call.request)
        await response.write(b"the beginning")
        raise OSError

    broken = Endpoint(method="GET", path="/file", handler=send, summary=("件", "File"), tag="docs", auth="public")
    async with sample.serving(settings(), (broken,)) as site:
        reader, writer = await asyncio.open_connection(site.client.host, site.client.port)
        writer.write(b"GET /file HTTP/1.1\r\nHost: here\r\n\r\n")
        got = b""
        with suppress(ConnectionError):
            while part := await reader.read(4_096):
                got += part
        writer.close()
    assert got.count(b"HTTP/1.1") <= 1
