"""Who gets what of the credits that are paid for an agent: the platform's part is rounded up, the creator has the rest.

What is captured or paid lies in clearing. The platform's share leaves it in the same transaction, because no user's
account is touched by it. The creator's is in `earnings`. The keys of the transfers are `share:<thing>:platform` and
`share:<thing>:creator`, the thing being `job:<id>` or `purchase:<id>`; a share of nothing is no transfer.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from atelier.ledger import models
from atelier.ledger.posting import Move, Passage


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Who shares in what is paid for an agent, as promised when it was. Without a creator the platform keeps it all.

    `transfer_id` is the one of the platform's share.
    """

    agent_id: str
    creator_id: str | None
    platform_percent: int
    transfer_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Earning:
    """A creator's share of what was paid for one thing: `amount` of `gross`."""

    ref_type: str
    ref_id: str
    creator_id: str
    agent_id: str
    gross: int
    amount: int
    note: str | None

    def moves(self, *, thing: str, transfer_id: str) -> list[Move]:
        """The movement of the creator's account: one, or none if it is a share of nothing."""
        if not self.amount:
            return []
        move = Move(
            transfer_id=transfer_id,
            key=f"share:{thing}:creator",
            kind="share",
            account_id=self.creator_id,
            counter_id=models.CLEARING,
            amount=self.amount,
            credit=self.amount,
            ref_type=self.ref_type,
            ref_id=self.ref_id,
            note=self.note,
        )
        return [move]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """What lies in clearing for a thing, and whose it is."""

    thing: str
    ref_type: str
    ref_id: str
    note: str | None
    amount: int
    terms: Terms

    @property
    def platform_amount(self) -> int:
        """The platform's part."""
        if self.terms.creator_id is None:
            return self.amount
        return platform_part(self.amount, percent=self.terms.platform_percent)

    @property
    def earning(self) -> Earning | None:
        """The creator's part, which may be nothing; None without a creator."""
        if self.terms.creator_id is None:
            return None
        return Earning(
            ref_type=self.ref_type,
            ref_id=self.ref_id,
            creator_id=self.terms.creator_id,
            agent_id=self.terms.agent_id,
            gross=self.amount,
            amount=self.amount - self.platform_amount,
            note=self.note,
        )


def platform_part(amount: int, *, percent: int) -> int:
    """The platform's part of an amount. Rounded up, so it is never less than agreed; the creator has the rest."""
    return -(-amount * percent // 100)


def passages(paid: Iterable[Paid]) -> list[Passage]:
    """The platform's shares."""
    return [
        Passage(
            transfer_id=one.terms.transfer_id,
            key=f"share:{one.thing}:platform",
            kind="share",
            debit_id=models.CLEARING,
            credit_id=models.PLATFORM,
            amount=one.platform_amount,
            ref_type=one.ref_type,
            ref_id=one.ref_id,
            note=one.note,
        )
        for one in paid
        if one.platform_amount
    ]
