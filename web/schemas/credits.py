"""Balances and statements."""

from typing import Literal

from pydantic import ConfigDict, Field

from web.schemas.model import Answer, Body, Pagination, Timestamp

AMOUNT_MAX = 100_000


class BalanceAnswer(Answer):
    """balance = posted credits, held = open holds, available = balance − held."""

    balance: int
    held: int
    available: int


class IndebtedAnswer(BalanceAnswer):
    """The same for someone who owes credits: money was paid back for what is spent. The next credits pay it."""

    debt: int = Field(gt=0)


class SpendableAnswer(Answer):
    """What may be spent now."""

    balance: int


class TransactionAnswer(Answer):
    """One line of the statement."""

    id: str
    type: Literal["usage", "topup", "bonus", "purchase", "refund", "clawback", "restore", "share", "adjust"]
    amount: int = Field(description="signed")
    balance_after: int
    description: str
    related_id: str | None
    related_type: str | None
    created_at: Timestamp


class HistoryAnswer(Answer):
    """A page of the statement, newest first."""

    transactions: list[TransactionAnswer]
    pagination: Pagination


class ConsumeBody(Body):
    """Spend credits on a service that runs elsewhere."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"amount": 5, "action": "jimeng_video_generation"}]})

    amount: int = Field(ge=1, le=AMOUNT_MAX)
    action: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:-]+$")


class ConsumeAnswer(Answer):
    """The credits are spent."""

    success: Literal[True] = True
    balance: int
    transaction_id: str
