"""Credits: balance, statement, and spending on services that run elsewhere."""

from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web
from sqlalchemy.orm import Session

from atelier.contracts import idempotency
from atelier.contracts.idempotency import Keyed
from atelier.generation.events import credits_changed
from atelier.kernel import clock
from atelier.kernel.ids import new_id
from atelier.ledger import debts, queries, service
from atelier.ledger.posting import Posted
from atelier.ledger.queries import Balance, Line
from atelier.ledger.service import Entry
from web import statement, tables
from web.live.service import LIVE
from web.messages import Locale
from web.routing import Call, Endpoint, Reply
from web.schemas.credits import (
    BalanceAnswer,
    ConsumeAnswer,
    ConsumeBody,
    HistoryAnswer,
    IndebtedAnswer,
    SpendableAnswer,
    TransactionAnswer,
)
from web.schemas.model import PageQuery, Pagination
from web.spending import spender

TYPES = {"capture": "usage", "consume": "usage"}
NO_STORE = "no-store"
LINES_PER_READ = 1_000
COLUMNS = ("createdAt", "type", "amount", "balanceAfter", "description", "relatedType", "relatedId")
REPLAYED = {"Idempotency-Replayed": "true"}


async def read_balance(call: Call) -> BalanceAnswer:
    """The caller's balance; `debt` is there while something is owed for a refund."""
    found, debt = await call.services.db.read(_account, user_id=call.user.user_id)
    shown = BalanceAnswer(balance=found.balance, held=found.held, available=found.available)
    return IndebtedAnswer(**shown.model_dump(), debt=debt) if debt else shown


async def read_spendable(call: Call) -> SpendableAnswer:
    """The caller's available credits, in the shape of the credits service."""
    found = await call.services.db.read(queries.balance, user_id=call.user.user_id)
    return SpendableAnswer(balance=found.available)


async def read_history(call: Call) -> HistoryAnswer | web.StreamResponse:
    """The caller's statement: a page of it as JSON, or all of it as CSV."""
    if tables.is_wanted(call):
        return await tables.send(call, _pages(call), name="statement.csv", columns=COLUMNS)
    query: PageQuery = call.query
    lines, total = await call.services.db.read(
        queries.statement, user_id=call.user.user_id, offset=query.offset, limit=query.limit
    )
    transactions = [_transaction(line, call.locale) for line in lines]
    return HistoryAnswer(transactions=transactions, pagination=Pagination.of(query, total=total))


async def consume(call: Call) -> Reply:
    """Spend credits at once."""
    body: ConsumeBody = call.body
    spender(call)
    answer, account = await call.services.db.transact(
        spend,
        transfer_id=new_id(),
        user_id=call.user.user_id,
        amount=body.amount,
        action=body.action,
        keyed=call.keyed,
        now_ms=call.now_ms,
    )
    if account:
        call.request.app[LIVE].tell([(call.user.user_id, credits_changed(account))])
    return Reply(ConsumeAnswer.model_validate(answer), headers=None if account else REPLAYED)


def spend(
    session: Session, *, transfer_id: str, user_id: str, amount: int, action: str, keyed: Keyed | None, now_ms: int
) -> tuple[dict[str, Any], Posted | None]:
    """Take the credits and keep the answer, in one transaction; a repeated request gets the answer and no account."""
    if stored := idempotency.find(session, keyed):
        return stored.answer, None
    entry = Entry(transfer_id=transfer_id, key=f"consume:{transfer_id}", user_id=user_id, amount=amount, note=action)
    posted = service.consume(session, entry, now_ms=now_ms)
    answer = {"success": True, "balance": posted.available, "transactionId": f"txn-{transfer_id}"}
    idempotency.store(session, keyed, status=200, answer=answer, now_ms=now_ms)
    return answer, posted


def _account(session: Session, *, user_id: str) -> tuple[Balance, int]:
    return queries.balance(session, user_id=user_id), debts.owed(session, user_id=user_id)


def _transaction(line: Line, locale: Locale) -> TransactionAnswer:
    return TransactionAnswer.model_validate(
        {
            "id": line.id,
            "type": TYPES.get(line.kind, line.kind),
            "amount": line.amount,
            "balance_after": line.balance_after,
            "description": statement.describe(line.kind, line.note, locale),
            "related_id": line.ref_id,
            "related_type": line.ref_type,
            "created_at": line.created_ms,
        }
    )


async def _pages(call: Call) -> AsyncIterator[list[tuple[Any, ...]]]:
    """The whole statement, some lines at a time. What is posted meanwhile is newer than all of it."""
    version: int | None = None
    while True:
        lines = await call.services.db.read(
            queries.statement_before, user_id=call.user.user_id, version=version, limit=LINES_PER_READ
        )
        yield [_row(line, call.locale) for line in lines]
        if len(lines) < LINES_PER_READ:
            return
        version = lines[-1].version


def _row(line: Line, locale: Locale) -> tuple[Any, ...]:
    kind = TYPES.get(line.kind, line.kind)
    description = statement.describe(line.kind, line.note, locale)
    at = clock.rfc3339(line.created_ms)
    return at, kind, line.amount, line.balance_after, description, line.ref_type, line.ref_id


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/payments/credits/balance",
        handler=read_balance,
        scope="credits:read",
        summary=("积分余额", "Balance"),
        tag="credits",
        answer=BalanceAnswer | IndebtedAnswer,
        cache=NO_STORE,
    ),
    Endpoint(
        method="GET",
        path="/api/payments/credits/history",
        handler=read_history,
        scope="credits:read",
        summary=("积分明细", "Statement"),
        tag="credits",
        query=PageQuery,
        answer=HistoryAnswer,
        media=("text/csv",),
        cache=NO_STORE,
    ),
    Endpoint(
        method="GET",
        path="/credits/balance",
        handler=read_spendable,
        scope="credits:read",
        summary=("可用积分", "Available credits"),
        tag="service",
        answer=SpendableAnswer,
        cache=NO_STORE,
    ),
    Endpoint(
        method="POST",
        path="/credits/consume",
        handler=consume,
        summary=("消费积分", "Spend credits"),
        tag="service",
        body=ConsumeBody,
        answer=ConsumeAnswer,
        errors=("INSUFFICIENT_CREDITS", "EMAIL_UNVERIFIED"),
        statuses={"INSUFFICIENT_CREDITS": 402},
        idempotent=True,
        cache=NO_STORE,
    ),
)
