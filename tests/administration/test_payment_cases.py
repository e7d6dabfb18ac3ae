"""Administrators look at cases and resolve them over HTTP: each once, with a reason that is written down."""

from dataclasses import dataclass
from typing import Any

import pytest

from atelier.generation import doctor
from atelier.kernel.clock import now_ms
from atelier.kernel.ids import new_id
from atelier.orders.service import Order
from atelier.payments import returning, settlement
from atelier.payments.settlement import Payment
from tests.administration.conftest import Json, Office
from tests.live.harness import Person
from tests.payments.desk import Desk

NOTE = "已与用户核对"
PRICE, CREDITS = 1_000, 100


@dataclass(frozen=True)
class Files:
    """The office, what is paid, and the cases that come of it."""

    office: Office
    desk: Desk

    async def resolve(
        self, case_id: str, resolution: str, *, who: Person | None = None, **more: Any
    ) -> tuple[int, Any]:
        """As the administrator, or someone else."""
        path = f"/api/admin/payments/cases/{case_id}/resolve"
        return await self.office.ask("POST", path, {"resolution": resolution, "note": NOTE, **more}, who=who)

    async def read(self, case_id: str) -> Json:
        """One case."""
        status, answer = await self.office.ask("GET", f"/api/admin/payments/cases/{case_id}")
        assert status == 200
        found: Json = answer
        return found

    def stray(self, order: Order, *, fen: int = PRICE, payment_no: str = "Q1") -> str:
        """Its gateway says that the order was paid, with this; the case's id."""
        return self.paid(order.provider, order.order_no, fen=fen, payment_no=payment_no)

    def paid(self, provider: str, order_no: str, *, fen: int, payment_no: str) -> str:
        """The same of any number."""
        paid = Payment(
            provider=provider,
            order_no=order_no,
            payment_no=payment_no,
            amount_fen=fen,
            currency="CNY",
            source="query",
        )
        settled = self.desk.db.transact(settlement.settle_payment, paid, ids=self.desk.ids(), now_ms=now_ms())
        assert settled.case_id is not None
        return settled.case_id

    def by_hand(self, order: Order, *, fen: int) -> str:
        """Somebody pays back at the gateway; the case's id."""
        settled = self.desk.notice(order, f"H{fen}", fen=fen)
        assert settled is not None
        assert settled.case_id is not None
        return settled.case_id

    def logged(self) -> list[Json]:
        """What was written down of resolutions."""
        return self.desk.operations("ADMIN_CASE_RESOLVE")

    def assert_sound(self) -> None:
        """The doctor finds nothing."""
        self.desk.relay()
        assert self.desk.db.snapshot(doctor.examine, now_ms=now_ms()).totals == {}


@pytest.fixture
def files(office: Office) -> Files:
    return Files(office, Desk(office.world.db))


async def test_cases_are_listed_and_found_by_what_they_are(files: Files, someone: Person) -> None:
    desk = files.desk
    twice = files.stray(desk.order(someone.id))
    wrong = files.stray(desk.order(someone.id, paid=False, provider="wechat"), fen=1)
    unknown = files.paid("alipay", "S" * 32, fen=7, payment_no="Q2")
    assert (await files.resolve(unknown, "dismiss"))[0] == 200
    for query, found in (
        ("", [unknown, wrong, twice]),
        ("status=open", [wrong, twice]),
        ("status=resolved", [unknown]),
        ("status=returning", []),
        ("kind=wrong_amount", [wrong]),
        ("provider=alipay&status=open", [twice]),
        ("provider=wechat", [wrong]),
        ("limit=1", [unknown]),
        ("limit=1&page=3", [twice]),
    ):
        status, answer = await files.office.ask("GET", f"/api/admin/payments/cases?{query}")
        assert (status, [one["id"] for one in answer["cases"]]) == (200, found), query
        if "limit" in query:
            assert answer["pagination"]["total"] == 3
    shown = await files.read(wrong)
    assert (shown["kind"], shown["status"], shown["provider"], shown["amountFen"], shown["userId"]) == (
        "wrong_amount",
        "open",
        "wechat",
        1,
        someone.id,
    )
    for query in ("status=gone", "kind=what", "provider=bank", "limit=0"):
        status, _ = await files.office.ask("GET", f"/api/admin/payments/cases?{query}")
        assert status == 400, query


async def test_money_goes_back_and_is_on_its_way_until_its_gateway_says_so(files: Files, someone: Person) -> None:
    case_id = files.stray(files.desk.order(someone.id))
    status, answer = await files.resolve(case_id, "refund_payment")
    assert (status, answer["status"], answer["refundNo"]) == (200, "returning", f"case-{case_id}")
    assert (answer["resolvedBy"], answer["note"], answer["resolvedAt"]) == (files.office.admin.id, NOTE, None)
    status, problem = await files.resolve(case_id, "dismiss")
    assert (status, problem["code"]) == (409, "CASE_RESOLVED")
    returning.send_back(files.desk.db, gateways=files.desk.tills, case_id=case_id, lease_ms=60_000)
    shown = await files.read(case_id)
    assert (shown["status"], shown["resolution"]) == ("resolved", "refunded")
    assert shown["resolvedAt"]
    assert files.desk.till.refunds[f"case-{case_id}"].amount_fen == PRICE
    files.assert_sound()


async def test_what_a_gateway_would_not_pay_back_is_open_again_and_says_why(files: Files, someone: Person) -> None:
    case_id = files.stray(files.desk.order(someone.id))
    await files.resolve(case_id, "refund_payment")
    files.desk.till.moods.append("refused")
    returning.send_back(files.desk.db, gateways=files.desk.tills, case_id=case_id, lease_ms=60_000)
    shown = await files.read(case_id)
    assert (shown["status"], shown["errorCode"], shown["resolution"]) == ("open", "NOT_ENOUGH", None)
    assert (await files.resolve(case_id, "credit", credits=CREDITS))[0] == 200
    files.assert_sound()


async def test_credits_are_given_for_it(files: Files) -> None:
    person = files.office.person()
    case_id = files.stray(files.desk.order(person.id, paid=False), fen=PRICE // 2)
    status, answer = await files.resolve(case_id, "credit", credits=50)
    assert (status, answer["status"], answer["resolution"], answer["credits"]) == (200, "resolved", "credited", 50)
    assert files.desk.balance(person.id).available == 50
    (operation,) = files.logged()
    assert (operation["user_id"], operation["resource_type"], operation["resource_id"]) == (
        files.office.admin.id,
        "case",
        case_id,
    )
    assert operation["details"].items() >= {"resolution": "credit", "credits": 50, "reason": NOTE}.items()
    assert operation["address"]
    files.assert_sound()


async def test_a_refund_that_somebody_made_is_accepted(files: Files) -> None:
    person = files.office.person()
    order = files.desk.order(person.id, provider="wechat")
    case_id = files.by_hand(order, fen=400)
    status, answer = await files.resolve(case_id, "accept_refund")
    assert (status, answer["resolution"]) == (200, "accepted")
    assert (files.desk.now(order).refunded_fen, files.desk.balance(person.id).available) == (400, 60)
    status, problem = await files.resolve(files.by_hand(order, fen=900), "accept_refund")
    assert (status, problem["code"]) == (400, "REFUND_TOO_LARGE")
    status, answer = await files.resolve(files.by_hand(order, fen=901), "accept_refund", amountFen=600)
    assert (status, files.desk.now(order).state) == (200, "refunded")
    status, problem = await files.resolve(files.by_hand(order, fen=902), "accept_refund")
    assert (status, problem["code"]) == (409, "ORDER_NOT_REFUNDABLE")
    files.assert_sound()


async def test_what_does_not_suit_is_refused_and_changes_nothing(files: Files, someone: Person) -> None:
    desk = files.desk
    unknown = files.paid("alipay", "S" * 32, fen=7, payment_no="Q2")
    twice = files.stray(desk.order(someone.id))
    mine = desk.order(someone.id)
    assert mine.payment_no is not None
    of_its_own = files.stray(mine, fen=PRICE + 1, payment_no=mine.payment_no)
    before = desk.cases()
    tried: tuple[tuple[str, str, Json, tuple[int, str]], ...] = (
        (unknown, "credit", {"credits": 5}, (409, "RESOLUTION_UNSUITABLE")),
        (unknown, "accept_refund", {}, (409, "RESOLUTION_UNSUITABLE")),
        (twice, "accept_refund", {}, (409, "RESOLUTION_UNSUITABLE")),
        (of_its_own, "refund_payment", {}, (409, "RESOLUTION_UNSUITABLE")),
        (of_its_own, "credit", {"credits": 5}, (409, "RESOLUTION_UNSUITABLE")),
        (twice, "credit", {}, (400, "VALIDATION_FAILED")),
        (twice, "credit", {"credits": 0}, (400, "VALIDATION_FAILED")),
        (twice, "dismiss", {"credits": 5}, (400, "VALIDATION_FAILED")),
        (twice, "dismiss", {"amountFen": 5}, (400, "VALIDATION_FAILED")),
        (twice, "dismiss", {"note": " "}, (400, "VALIDATION_FAILED")),
        (twice, "forget", {}, (400, "VALIDATION_FAILED")),
        (new_id(), "dismiss", {}, (404, "NOT_FOUND")),
    )
    for case_id, resolution, more, refused in tried:
        status, problem = await files.resolve(case_id, resolution, **more)
        assert (status, problem["code"]) == refused, (resolution, more)
    status, problem = await files.office.ask("GET", f"/api/admin/payments/cases/{new_id()}")
    assert (status, problem["code"]) == (404, "NOT_FOUND")
    assert (desk.cases(), files.logged()) == (before, [])


async def test_nobody_else_may_look_or_decide(files: Files, someone: Person) -> None:
    case_id = files.stray(files.desk.order(someone.id))
    for path in ("/api/admin/payments/cases", f"/api/admin/payments/cases/{case_id}"):
        status, _ = await files.office.ask("GET", path, who=someone)
        assert status == 403
    status, _ = await files.resolve(case_id, "credit", who=someone, credits=1_000)
    assert status == 403
    assert (await files.read(case_id))["status"] == "open"


async def test_it_is_dismissed_once_and_the_reason_is_kept(files: Files, someone: Person) -> None:
    case_id = files.stray(files.desk.order(someone.id))
    status, answer = await files.resolve(case_id, "dismiss")
    assert (status, answer["status"], answer["resolution"], answer["note"]) == (200, "resolved", "dismissed", NOTE)
    again: tuple[tuple[str, Json], ...] = (("dismiss", {}), ("refund_payment", {}), ("credit", {"credits": 5}))
    for resolution, more in again:
        status, problem = await files.resolve(case_id, resolution, **more)
        assert (status, problem["code"]) == (409, "CASE_RESOLVED")
    assert [one["details"]["reason"] for one in files.logged()] == [NOTE]
