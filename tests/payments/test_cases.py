"""Cases are resolved by deeds, each once: the money goes back, or credits are given for it, or neither for a reason."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from atelier.contracts.messages import PAYMENTS_RETURN
from atelier.contracts.oplog import TABLE as OPERATIONS
from atelier.gateways.port import Notice
from atelier.kernel.clock import MINUTE_MS, now_ms
from atelier.kernel.errors import Refusal
from atelier.kernel.ids import new_id
from atelier.ledger import debts
from atelier.ledger.debts import TakeBack
from atelier.orders import resolutions
from atelier.orders import service as orders
from atelier.orders.errors import CaseNotFound, CaseResolved, ResolutionUnsuitable
from atelier.orders.payment_models import CASES
from atelier.orders.resolutions import Case, Filter
from atelier.orders.service import Order
from atelier.payments import resolving, returning
from atelier.payments.resolving import Decision, Resolution
from atelier.payments.returning import Said
from atelier.payments.settlement import SettlementIds
from tests.payments.counter import CREDITS, PRICE_FEN, Counter, paid
from tests.payments.vault import Vault

ADMIN = "01990000-0000-7000-8000-00000000000a"
LEASE_MS = 30_000


@dataclass(frozen=True)
class Office:
    """An administrator at the counter, and the gateway."""

    counter: Counter
    vault: Vault = field(default_factory=Vault)

    def case(self, kind: str, **changes: Any) -> Case:
        """A new case of this kind."""
        order = self.counter.order()
        if kind in {"double_payment", "payment_reused"}:
            assert self.counter.take(paid(order)) == "credited"
        if kind == "payment_reused":
            order, changes = self.counter.order(), {"payment_no": f"p-{order.id}"}
        wrong: dict[str, dict[str, Any]] = {
            "wrong_amount": {"amount_fen": 100},
            "double_payment": {"payment_no": new_id()},
            "unknown_order": {"order_no": "f" * 32},
        }
        assert self.counter.take(replace(paid(order), **{**wrong.get(kind, {}), **changes})) == kind
        return self.see(self.counter.cases()[-1]["id"])

    def see(self, case_id: str) -> Case:
        """The case as it is now."""
        found = self.counter.db.read(resolutions.find, case_id=case_id)
        assert found is not None
        return found

    def order(self, case: Case) -> Order:
        """The order that its money was to be for."""
        found = self.counter.db.read(orders.find_by_no, order_no=case.order_no)
        assert found is not None
        return found

    def resolve(self, case_id: str, resolution: Resolution, *, credits: int | None = None) -> Case:  # noqa: A002 - the product's word
        """What the administrator does. Raises its refusal."""
        decision = Decision(
            case_id=case_id,
            resolution=resolution,
            note="核对过了",
            credits=credits,
            admin_id=ADMIN,
            ids=SettlementIds.made(new_id),
            refund_id=new_id(),
        )
        return self.counter.db.transact(resolving.resolve, decision, now_ms=now_ms()).case

    def work(self, case_id: str, *, lease_ms: int = LEASE_MS) -> Said | None:
        """What the worker does."""
        gateways = {"alipay": self.vault}
        return returning.send_back(self.counter.db, gateways=gateways, case_id=case_id, lease_ms=lease_ms)

    def hasten(self, case_id: str, *, by_ms: int) -> None:
        """Let so much time pass."""
        earlier = update(CASES).where(CASES.c.id == case_id).values(due_ms=CASES.c.due_ms - by_ms)
        self.counter.db.transact(lambda session: session.execute(earlier))

    def logged(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Actions of the operation log that are about cases, with what they say."""
        return self.counter.db.read(_logged)


def _logged(session: Session) -> list[tuple[str, Mapping[str, Any]]]:
    columns = OPERATIONS.c
    ours = select(columns.action, columns.details).where(columns.resource_type == "case").order_by(columns.id)
    return [(row[0], row[1]) for row in session.execute(ours)]


@pytest.fixture
def office(counter: Counter) -> Office:
    return Office(counter)


@pytest.mark.parametrize("kind", ["unknown_order", "wrong_amount", "double_payment"])
def test_stray_money_goes_back_once(office: Office, kind: str) -> None:
    case = office.case(kind)
    sent = office.resolve(case.id, "refund_payment")
    assert (sent.state, sent.refund_no, sent.resolved_by) == ("returning", f"case-{case.id}", ADMIN)
    assert office.counter.messages(PAYMENTS_RETURN.name) == [f'{{"caseId":"{case.id}"}}']
    with ThreadPoolExecutor(4) as threads:
        said = [one for one in threads.map(office.work, [case.id] * 8) if one]
    assert said == [Said(succeeded=True, amount_fen=case.amount_fen)]
    (wanted,) = office.vault.paid_back.values()
    assert (wanted.order_no, wanted.payment_no, wanted.amount_fen) == (case.order_no, case.payment_no, case.amount_fen)
    assert "核对" not in wanted.reason
    done = office.see(case.id)
    assert (done.state, done.resolution, done.note, done.resolved_by) == ("resolved", "refunded", "核对过了", ADMIN)
    assert [action for action, _ in office.logged()] == ["ADMIN_CASE_RESOLVE", "REFUND_SUCCESS"]


def test_what_was_lost_on_the_way_is_asked_about_before_it_is_asked_again(office: Office) -> None:
    case = office.case("double_payment")
    office.resolve(case.id, "refund_payment")
    office.vault.moods.extend(["lost", "unheard"])
    for _ in range(3):
        office.work(case.id)
        office.hasten(case.id, by_ms=10 * MINUTE_MS)
    assert office.vault.asked == ["refund", "query", "query"]
    assert (office.see(case.id).resolution, len(office.vault.paid_back)) == ("refunded", 1)


def test_a_worker_that_died_is_followed_by_one_that_asks_first(office: Office) -> None:
    case = office.case("double_payment")
    office.resolve(case.id, "refund_payment")
    assert office.counter.db.transact(resolutions.claim, case_id=case.id, lease_ms=LEASE_MS)
    assert office.work(case.id) is None, "someone may still be at it"
    office.hasten(case.id, by_ms=LEASE_MS)
    assert office.work(case.id) == Said(succeeded=True, amount_fen=case.amount_fen)
    assert office.vault.asked == ["query", "refund"]


def test_a_message_that_was_lost_is_sent_again(office: Office) -> None:
    case = office.case("double_payment")
    office.resolve(case.id, "refund_payment")
    assert office.counter.db.transact(resolutions.requeue_overdue, now_ms=1) == 0
    office.hasten(case.id, by_ms=2 * MINUTE_MS)
    assert office.counter.db.transact(resolutions.requeue_overdue, now_ms=1) == 1
    assert office.counter.db.transact(resolutions.requeue_overdue, now_ms=1) == 0
    assert len(office.counter.messages(PAYMENTS_RETURN.name)) == 2


def test_a_gateway_that_is_at_it_tells_the_end_by_a_notice(office: Office) -> None:
    case = office.case("double_payment")
    sent = office.resolve(case.id, "refund_payment")
    office.vault.ends = "processing"
    assert office.work(case.id) == Said(succeeded=None)
    assert office.see(case.id).state == "returning"
    for outcome in ("returned", "known"):
        assert office.counter.take(went(sent, event_key=new_id())) == outcome
    assert office.see(case.id).resolution == "refunded"
    assert [one["kind"] for one in office.counter.cases()] == ["double_payment"]
    assert office.counter.take(went(sent, event_key="w", refund_state="failed")) == "known"


@pytest.mark.parametrize(("how", "error"), [("refused", "SYSTEM_BUSY"), ("failed", "REFUND_CLOSED")])
def test_what_a_gateway_would_not_do_is_open_again(office: Office, how: str, error: str) -> None:
    case = office.case("double_payment")
    office.resolve(case.id, "refund_payment")
    if how == "refused":
        office.vault.moods.append("refused")
    else:
        office.vault.ends = "failed"
    assert office.work(case.id) == Said(succeeded=False, error=error)
    again = office.see(case.id)
    assert (again.state, again.error, again.resolution, again.resolved_by) == ("open", error, None, None)
    assert [action for action, _ in office.logged()] == ["ADMIN_CASE_RESOLVE", "REFUND_FAILED"]
    assert office.resolve(case.id, "dismiss").resolution == "dismissed"


def test_nothing_is_lost_while_the_gateway_is_not_set_up(office: Office) -> None:
    case = office.case("double_payment")
    office.resolve(case.id, "refund_payment")
    said = returning.send_back(office.counter.db, gateways={}, case_id=case.id, lease_ms=LEASE_MS)
    assert said == Said(succeeded=None, error="GATEWAY_MISSING")
    office.hasten(case.id, by_ms=10 * MINUTE_MS)
    assert office.work(case.id) == Said(succeeded=True, amount_fen=case.amount_fen)


@pytest.mark.parametrize("kind", ["wrong_amount", "double_payment"])
def test_credits_are_given_once_and_pay_debts_first(office: Office, kind: str) -> None:
    case = office.case(kind)
    assert case.user_id
    had = office.counter.shop.balance(case.user_id).available
    back = TakeBack(transfer_id=new_id(), user_id=case.user_id, credits=had + 30, ref_type="refund", ref_id=new_id())
    office.counter.db.transact(debts.take_back, back, now_ms=now_ms())

    def resolve(_: int) -> str:
        try:
            return str(office.resolve(case.id, "credit", credits=50).resolution)
        except Refusal as refusal:
            return refusal.code

    with ThreadPoolExecutor(6) as threads:
        outcomes = sorted(threads.map(resolve, range(6)))
    assert outcomes == ["CASE_RESOLVED"] * 5 + ["credited"]
    assert (office.see(case.id).credits, office.see(case.id).state) == (50, "resolved")
    assert office.counter.shop.balance(case.user_id).available == 20
    assert [action for action, _ in office.logged()] == ["ADMIN_CASE_RESOLVE"]
    assert office.logged()[0][1]["credits"] == 50


@pytest.mark.parametrize(
    ("kind", "resolution"),
    [("payment_reused", "refund_payment"), ("payment_reused", "credit"), ("unknown_order", "credit")],
)
def test_what_belongs_to_an_order_or_to_nobody_known_is_not_touched(
    office: Office, kind: str, resolution: Resolution
) -> None:
    case = office.case(kind)
    with pytest.raises(ResolutionUnsuitable):
        office.resolve(case.id, resolution, credits=5)
    assert (office.see(case.id), office.logged()) == (case, [])
    assert office.resolve(case.id, "dismiss").resolution == "dismissed"


def test_the_money_of_an_order_does_not_go_back_as_if_it_were_stray(office: Office) -> None:
    order = office.counter.order()
    office.counter.take(paid(order, payment_no="p-1"))
    assert office.counter.take(paid(order, payment_no="p-1", amount_fen=PRICE_FEN + 1)) == "wrong_amount"
    case_id = office.counter.cases()[-1]["id"]
    for resolution in ("refund_payment", "credit"):
        with pytest.raises(ResolutionUnsuitable):
            office.resolve(case_id, resolution, credits=CREDITS)


@pytest.mark.parametrize("resolution", ["credit", "refund_payment"])
def test_money_that_was_given_away_by_its_case_pays_no_order_later(office: Office, resolution: Resolution) -> None:
    case = office.case("wrong_amount", currency="USD", amount_fen=PRICE_FEN)
    order = office.order(case)
    office.resolve(case.id, resolution, credits=7 if resolution == "credit" else None)
    given = office.counter.available(order)
    for _ in range(2):
        assert office.counter.take(paid(order, payment_no=case.payment_no)) == "wrong_amount"
        assert (office.counter.see(order).state, office.counter.available(order)) == ("pending", given)
        if resolution == "refund_payment":
            office.work(case.id)
    assert [one["id"] for one in office.counter.cases()] == [case.id]
    assert office.counter.take(paid(order, payment_no="p-2")) == "credited", "the order itself can still be paid"


def test_an_order_and_the_case_of_its_money_are_not_both_credited_at_once(office: Office) -> None:
    for _ in range(4):
        case = office.case("wrong_amount")
        order = office.order(case)

        def settle(order: Order = order, number: str | None = case.payment_no) -> str:
            return office.counter.take(paid(order, payment_no=number))

        def resolve(case_id: str = case.id) -> str:
            try:
                return str(office.resolve(case_id, "credit", credits=CREDITS).resolution)
            except Refusal as refusal:
                return refusal.code

        with ThreadPoolExecutor(2) as threads:
            outcomes = {one.result() for one in (threads.submit(settle), threads.submit(resolve))}
        assert outcomes in ({"credited", "RESOLUTION_UNSUITABLE"}, {"wrong_amount", "credited"})
        assert office.counter.available(order) == CREDITS


def test_what_was_resolved_stays_resolved(office: Office) -> None:
    case = office.case("double_payment")
    office.resolve(case.id, "refund_payment")
    with pytest.raises(CaseResolved) as refused:
        office.resolve(case.id, "dismiss")
    assert refused.value.details == {"status": "returning"}
    office.work(case.id)
    with pytest.raises(CaseResolved):
        office.resolve(case.id, "credit", credits=5)
    with pytest.raises(CaseNotFound):
        office.resolve(new_id(), "dismiss")


def test_cases_are_listed_by_what_they_are(office: Office) -> None:
    cases = [office.case(kind) for kind in ("wrong_amount", "unknown_order", "double_payment")]
    office.resolve(cases[0].id, "dismiss")

    def listed(**wanted: str) -> list[str]:
        found, total = office.counter.db.read(resolutions.page, wanted=Filter(**wanted), offset=0, limit=10)
        assert total == len(found)
        return [one.id for one in found]

    assert listed() == [one.id for one in reversed(cases)]
    assert listed(state="open") == [cases[2].id, cases[1].id]
    assert listed(kind="wrong_amount", provider="alipay") == [cases[0].id]
    assert listed(provider="wechat") == []


def went(case: Case, **changes: Any) -> Notice:
    """That the money of a case went back."""
    notice = Notice(
        provider="alipay",
        event_key="w",
        kind="refund",
        order_no=case.order_no,
        payment_no=case.payment_no,
        refund_no=case.refund_no,
        refund_fen=case.amount_fen,
        refund_state="succeeded",
    )
    return replace(notice, **changes)
