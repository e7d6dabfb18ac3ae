"""Money that goes back, and what administrators do with what fits nowhere: more rules of the machine of payments."""

from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, multiple, rule
from sqlalchemy import update
from sqlalchemy.orm import Session

from atelier.kernel.clock import now_ms
from atelier.kernel.errors import Refusal
from atelier.kernel.ids import new_id
from atelier.orders.errors import CaseResolved, OrderNotRefundable, RefundTooLarge, ResolutionUnsuitable
from atelier.orders.payment_models import CASES
from atelier.payments import resolving, returning
from atelier.payments.resolving import Decision, Resolution
from tests.payments.bank import Paid
from tests.payments.books import Case, Sale
from tests.payments.selling import STRAY, Selling
from tests.payments.till import Mood

MOODS = st.sampled_from([None, None, None, "lost", "unheard", "busy", "refused", "closed", "more", "broken"])


@dataclass(frozen=True, slots=True)
class Back:
    """A refund of ours."""

    refund_id: str
    refund_no: str
    sale: Sale


class PayingBack(Selling):
    """Rules of refunds and cases."""

    sales = Selling.sales
    backs = Bundle("backs")

    # -- money that goes back

    @rule(target=backs, sale=sales, part=st.sampled_from([None, None, 1, 2, 50, 991]))
    def want(self, sale: Sale, part: int | None) -> Back | MultipleResults[Back]:
        wish, left = self.desk.wish(sale.order, part), sale.order.amount_fen - sale.refunded - sale.refunding
        if sale.payment_no is None or not left or (part or 0) > left:
            with pytest.raises(RefundTooLarge if sale.payment_no and left else OrderNotRefundable):
                self.desk.grant(wish)
            return multiple()
        self.desk.grant(wish)
        credits_back = sale.begin(wish.refund_id, part or left)
        self.people.take(sale.order.user_id, wish.refund_id, credits_back)
        return Back(wish.refund_id, wish.refund_no, sale)

    @rule(back=backs, mood=MOODS)
    def work(self, back: Back, mood: Mood | None) -> None:
        if back.refund_id not in back.sale.going:
            return
        bank = self.bank_of(back.sale)
        bank.moods.extend([mood] if mood else [])
        back.sale.too_many += mood == "more"
        settled = self.desk.later(back.refund_id)
        bank.moods.clear()
        known = bank.refunds.get(back.refund_no)
        if settled is None:
            assert mood or (known and known.state == "processing"), "a gateway that answers is believed"
        else:
            self._end(back, settled.outcome)

    @rule(back=backs, well=st.booleans())
    def finish(self, back: Back, well: bool) -> None:  # noqa: FBT001 - as above
        bank = self.bank_of(back.sale)
        if (known := bank.refunds.get(back.refund_no)) and known.state == "processing":
            bank.finish(back.refund_no, succeeded=well)

    @rule(back=backs)
    def tell_of_refund(self, back: Back) -> None:
        bank, order = self.bank_of(back.sale), back.sale.order
        known = bank.refunds.get(back.refund_no)
        if known is None or known.state not in {"succeeded", "failed"}:
            return
        state: Literal["succeeded", "failed"] = "succeeded" if known.state == "succeeded" else "failed"
        of_its_own = order.provider == "wechat"
        settled = self.desk.notice(
            order,
            back.refund_no,
            fen=known.amount_fen if of_its_own else None,
            together=None if of_its_own else bank.paid_back(order.order_no),
            state=state,
            payment_no=back.sale.payment_no,
        )
        assert settled is not None
        self._end(back, settled.outcome)

    def _end(self, back: Back, outcome: str) -> None:
        sale, known = back.sale, self.bank_of(back.sale).refunds.get(back.refund_no)
        if outcome == "known":
            assert back.refund_id not in sale.going
            return
        assert outcome in {"refunded", "refund_differs", "refund_failed"}
        went = outcome != "refund_failed"
        assert went == (known is not None and known.state == "succeeded"), "as the gateway's books say"
        if outcome == "refund_differs":
            assert known is not None
            differs = known.amount_fen != sale.wanted[back.refund_id]
            assert differs or self._by_hand(sale), "no more and no less was wanted"
        if back.refund_id in sale.going:
            sale.end(back.refund_id, went=went)
            if not went:
                self.people.give_back(sale.order.user_id, back.refund_id)

    def _by_hand(self, sale: Sale) -> bool:
        return any(one.refund_no.startswith("H") for one in self.bank_of(sale).refunds_of(sale.order.order_no))

    @rule(sale=sales, fen=st.integers(1, 40))
    def pay_back_by_hand(self, sale: Sale, fen: int) -> None:
        """Its gateway tells us the amount, as WeChat Pay does."""
        bank = self.bank_of(sale)
        if sale.payment_no is None or bank.left(sale.order.order_no) < fen:
            return
        number = f"H{next(bank.numbers)}"
        bank.pay_back_by_hand(sale.order.order_no, number, fen)
        settled = self.desk.notice(sale.order, number, fen=fen, payment_no=sale.payment_no)
        assert settled is not None
        assert settled.outcome == "unknown_refund"
        said = Paid(order_no=sale.order.order_no, payment_no=sale.payment_no, fen=fen)
        self.cases[f"by hand:{bank.name}:{number}"] = Case("unknown_refund", "open", said, bank.name, sale)

    # -- what administrators do

    @rule(
        number=st.integers(0, 9),
        resolution=st.sampled_from(["refund_payment", "refund_payment", "credit", "accept_refund", "dismiss"]),
        gives=st.integers(1, 30),
    )
    def resolve(self, number: int, resolution: Resolution, gives: int) -> None:
        rows = [row for row in self.desk.cases() if row["kind"] in {*STRAY, "unknown_refund", "payment_reused"}]
        rows = [row for row in rows if row["state"] == "open"] or rows
        if not rows:
            return
        row = rows[number % len(rows)]
        case, refund_id = self._model_of(row), new_id()
        decision = Decision(
            case_id=row["id"],
            resolution=resolution,
            note="核对过了",
            credits=gives,
            admin_id=self.desk.admin_id,
            ids=self.desk.ids(),
            refund_id=refund_id,
        )
        refused = self._refused(case, resolution)
        if refused:
            with pytest.raises(refused):
                self.desk.db.transact(resolving.resolve, decision, now_ms=now_ms())
            return
        self.desk.db.transact(resolving.resolve, decision, now_ms=now_ms())
        case.state = "returning" if resolution == "refund_payment" else "resolved"
        if resolution == "credit":
            assert case.sale is not None
            self.people.buy(case.sale.order.user_id, gives)
        if resolution == "accept_refund":
            assert case.sale is not None
            credits_back = case.sale.begin(refund_id, case.said.fen)
            self.people.take(case.sale.order.user_id, refund_id, credits_back)
            case.sale.end(refund_id, went=True)

    def _refused(self, case: Case, resolution: Resolution) -> type[Refusal] | None:
        sale = case.sale
        left = 0 if sale is None else sale.order.amount_fen - sale.refunded - sale.refunding
        is_stray = case.kind in STRAY and not self.owner(case.provider, case.said.payment_no)
        suits = {
            "refund_payment": is_stray,
            "credit": is_stray and sale is not None,
            "accept_refund": case.kind == "unknown_refund",
            "dismiss": True,
        }
        reasons: list[tuple[bool, type[Refusal]]] = [
            (case.state != "open", CaseResolved),
            (not suits[resolution], ResolutionUnsuitable),
            (resolution == "accept_refund" and not left, OrderNotRefundable),
            (resolution == "accept_refund" and case.said.fen > left, RefundTooLarge),
        ]
        return next((error for is_so, error in reasons if is_so), None)

    @rule(number=st.integers(0, 9), mood=MOODS)
    def send_back(self, number: int, mood: Mood | None) -> None:
        rows = [row for row in self.desk.cases() if row["state"] == "returning"]
        if not rows:
            return
        row = rows[number % len(rows)]
        case, bank = self._model_of(row), self.banks[row["provider"]]
        bank.moods.extend([mood] if mood and mood != "broken" else [])
        if case.sale:
            case.sale.too_many += mood == "more"
        self.desk.db.transact(_hasten, case_id=row["id"])
        said = returning.send_back(self.desk.db, gateways=self.banks, case_id=row["id"], lease_ms=60_000)
        bank.moods.clear()
        assert said is not None
        went = bank.refunds.get(row["refund_no"])
        if said.succeeded is None:
            assert mood or (went and went.state == "processing")
            return
        assert said.succeeded == (went is not None and went.state == "succeeded"), "as the gateway's books say"
        case.state = "resolved" if said.succeeded else "open"

    def _model_of(self, row: dict[str, object]) -> Case:
        if row["kind"] == "unknown_refund":
            details = row["details"]
            assert isinstance(details, dict)
            return self.cases[f"by hand:{row['provider']}:{details['refundNo']}"]
        kind = "stray" if row["kind"] in STRAY else row["kind"]
        return self.cases[f"{kind}:{row['provider']}:{row['order_no']}:{row['payment_no']}"]


def _hasten(session: Session, *, case_id: str) -> None:
    session.execute(update(CASES).where(CASES.c.id == case_id).values(due_ms=1))
