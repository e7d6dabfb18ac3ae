"""What payers do, and what gateways tell and are asked of it: rules of the machine of payments.

The gateways keep their own books (`bank`); what users should have is kept in `books`. Neither knows anything of SQL.
"""

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, rule
from sqlalchemy import update
from sqlalchemy.orm import Session

from atelier.gateways.errors import GatewayRefused, GatewayUnknown
from atelier.gateways.port import Notice, ProviderName
from atelier.kernel.clock import now_ms
from atelier.kernel.ids import new_id
from atelier.orders.models import ORDERS
from atelier.payments import canceling
from atelier.payments.watching import Watcher
from tests.payments.bank import Bank, Paid
from tests.payments.books import Case, People, Sale
from tests.payments.counter import Counter, closed
from tests.payments.desk import Desk
from tests.payments.till import Mood

NEVER_MS = 2**45
PROVIDER_NAMES: tuple[ProviderName, ...] = ("alipay", "wechat")
STRAY = {"unknown_order", "wrong_amount", "double_payment"}
FEN = st.sampled_from([7, 100, 990])
PROVIDERS: st.SearchStrategy[ProviderName] = st.sampled_from(PROVIDER_NAMES)
MOODS = st.sampled_from([None, None, "lost", "unheard", "refused"])


@dataclass(frozen=True, slots=True)
class Told:
    """A payment, and the gateway and the order (none: not ours) that it is said to be for."""

    paid: Paid
    provider: ProviderName
    sale: Sale | None


class Selling(RuleBasedStateMachine):
    """Rules of orders and payments."""

    desk: Desk
    users = Bundle("users")
    sales = Bundle("sales")
    payments = Bundle("payments")

    def __init__(self) -> None:
        super().__init__()
        self.people = People()
        self.banks: dict[str, Bank] = {"alipay": Bank(name="alipay"), "wechat": Bank(name="wechat")}
        self.sold: dict[str, Sale] = {}
        self.cases: dict[str, Case] = {}

    # -- people and orders

    @initialize(target=users)
    def somebody(self) -> object:
        return multiple(*(self._user() for _ in range(2)))

    @initialize(target=sales, user_id=users)
    def something_sold(self, user_id: str) -> object:
        return multiple(*(self.buy(user_id, 100, 30, provider) for provider in PROVIDER_NAMES))

    def _user(self) -> str:
        user_id = self.desk.user()
        self.people.come(user_id)
        return user_id

    @rule(target=sales, user_id=users, fen=FEN, gives=st.integers(1, 60), provider=PROVIDERS)
    def order(self, user_id: str, fen: int, gives: int, provider: ProviderName) -> Sale:
        return self._order(user_id, fen, gives, provider)

    @rule(target=sales, user_id=users, fen=FEN, gives=st.integers(1, 60), provider=PROVIDERS)
    def buy(self, user_id: str, fen: int, gives: int, provider: ProviderName) -> Sale:
        """As it nearly always goes."""
        sale = self._order(user_id, fen, gives, provider)
        paid = self.bank_of(sale).pay(sale.order.order_no, fen)
        self._tell(paid, provider, sale, key=new_id())
        return sale

    def _order(self, user_id: str, fen: int, gives: int, provider: ProviderName) -> Sale:
        order = self.desk.order(user_id, fen=fen, gives=gives, provider=provider, paid=False)
        self.banks[provider].place_order(order.order_no)
        self._park()
        sale = Sale(order=order)
        self.sold[order.id] = sale
        return sale

    @rule(target=payments, sale=sales, off=st.sampled_from([0, 0, 0, 1]), heard=st.booleans())
    def pay(self, sale: Sale, off: int, heard: bool) -> Told:  # noqa: FBT001 - hypothesis calls by name
        paid = self.bank_of(sale).pay(sale.order.order_no, sale.order.amount_fen + off)
        told = Told(paid, self.provider_of(sale), sale)
        if heard:
            self.tell(told, 0)
        return told

    @rule(target=payments, provider=PROVIDERS, fen=FEN)
    def pay_for_nothing(self, provider: ProviderName, fen: int) -> Told:
        return Told(self.banks[provider].pay(f"S{new_id()[1:20]}", fen), provider, None)

    # -- what gateways tell

    @rule(told=payments, copy=st.integers(0, 1))
    def tell(self, told: Told, copy: int) -> None:
        self._tell(told.paid, told.provider, told.sale, key=f"{told.paid.payment_no}:{copy}")

    @rule(told=payments, sale=sales)
    def tell_of_another_order(self, told: Told, sale: Sale) -> None:
        """Only what an order of ours was paid with: anything else a gateway may well say of one order alone."""
        if self.owner(told.provider, told.paid.payment_no) and self.provider_of(sale) == told.provider:
            said = Paid(order_no=sale.order.order_no, payment_no=told.paid.payment_no, fen=told.paid.fen)
            self._tell(said, told.provider, sale, key=new_id())

    def _tell(self, said: Paid, provider: ProviderName, sale: Sale | None, *, key: str) -> None:
        notice = Notice(
            provider=provider,
            event_key=key,
            kind="payment",
            order_no=said.order_no,
            payment_no=said.payment_no,
            amount_fen=said.fen,
        )
        counter = Counter(self.desk.db)
        event_id = counter.receive(notice)
        if event_id is None:
            return  # It was settled when it came first.
        settled = counter.settle(event_id)
        assert settled is not None
        assert settled.outcome == self._settle(said, provider, sale)

    def _settle(self, said: Paid, provider: str, sale: Sale | None) -> str:
        """What should come of a payment, and what becomes of everybody's books."""
        if sale is None:
            return self._case("unknown_order", said, provider, sale)
        if sale.payment_no not in {None, said.payment_no}:
            return self._case("double_payment", said, provider, sale)
        if said.fen != sale.order.amount_fen:
            return self._case("wrong_amount", said, provider, sale)
        if sale.payment_no is not None:
            return "known"
        if self.owner(provider, said.payment_no):
            return self._case("payment_reused", said, provider, sale)
        was_closed, sale.state, sale.payment_no = sale.state == "closed", "paid", said.payment_no
        self.people.buy(sale.order.user_id, sale.order.credits)
        if was_closed:
            self._case("late_payment", said, provider, sale, state="resolved")
        return "late" if was_closed else "credited"

    def _case(self, kind: str, said: Paid, provider: str, sale: Sale | None, *, state: str = "open") -> str:
        key = f"{provider}:{said.order_no}:{said.payment_no}"
        if kind in STRAY:
            known = self.cases.setdefault(f"stray:{key}", Case(kind, state, said, provider, sale))
            return known.kind
        self.cases.setdefault(f"{kind}:{key}", Case(kind, state, said, provider, sale))
        return kind

    def owner(self, provider: str, payment_no: str) -> Sale | None:
        mine = (one for one in self.sold.values() if one.payment_no == payment_no and self.provider_of(one) == provider)
        return next(mine, None)

    @rule(sale=sales)
    def tell_of_its_end(self, sale: Sale) -> None:
        counter = Counter(self.desk.db)
        if event_id := counter.receive(closed(sale.order)):
            counter.settle(event_id)
            sale.close()
            self._park()

    # -- what is asked of gateways

    @rule(sale=sales, mood=MOODS)
    def cancel(self, sale: Sale, mood: Mood | None) -> None:
        if sale.state != "pending":
            return
        bank = self.bank_of(sale)
        bank.moods.extend([mood] if mood else [])
        try:
            canceling.close(self.desk.db, bank, sale.order, reason="canceled", ids=self.desk.ids(), now_ms=now_ms())
        except (GatewayUnknown, GatewayRefused):
            assert mood in {"lost", "unheard", "refused"}
        else:
            self._closed(sale)
        bank.moods.clear()
        self._park()

    @rule(sale=sales, mood=MOODS, over=st.booleans())
    def watch(self, sale: Sale, mood: Mood | None, over: bool) -> None:  # noqa: FBT001 - hypothesis calls by name
        if sale.state not in {"pending", "closed"}:
            return
        bank, before = self.bank_of(sale), self.bank_of(sale).trade(sale.order.order_no)
        bank.moods.extend([mood] if mood else [])
        self.desk.db.transact(_due, order_id=sale.order.id, over=over)
        watcher = Watcher(database=self.desk.db, gateways=self.banks, announce=lambda _account: None)
        assert watcher.run() == 1
        closes = sale.state == "pending" and (over or before.state in {"closed", "refunded"})
        is_heard = mood is None or (mood == "lost" and not closes) or self._is_refused_but_known(sale, mood, over=over)
        bank.moods.clear()
        self._park()
        if not is_heard:
            return
        if closes:
            self._closed(sale)
        elif before.state == "paid" and (first := bank.first(sale.order.order_no)):
            self._settle(first, bank.name, sale)

    def _is_refused_but_known(self, sale: Sale, mood: Mood, *, over: bool) -> bool:
        """It would not close, and says why: only when the closing is what is asked for first."""
        first = self.bank_of(sale).trade(sale.order.order_no)
        asks_to_close = over and sale.state == "pending"
        return asks_to_close and (
            (mood == "refused" and first.state != "pending") or (mood == "lost" and first.state in {"paid", "refunded"})
        )

    def _closed(self, sale: Sale) -> None:
        """Its gateway has closed it, or said what it was paid with."""
        bank = self.bank_of(sale)
        if bank.trade(sale.order.order_no).state == "paid" and (first := bank.first(sale.order.order_no)):
            self._settle(first, bank.name, sale)
        sale.close()

    def bank_of(self, sale: Sale) -> Bank:
        return self.banks[sale.order.provider]

    def provider_of(self, sale: Sale) -> ProviderName:
        return "alipay" if sale.order.provider == "alipay" else "wechat"

    def _park(self) -> None:
        """Nobody asks for anything but what a rule has asked for."""
        self.desk.db.transact(_park)


def _park(session: Session) -> None:
    session.execute(update(ORDERS).where(ORDERS.c.query_ms.is_not(None)).values(query_ms=NEVER_MS))


def _due(session: Session, *, order_id: str, over: bool) -> None:
    values = {"query_ms": 1, "expires_ms": 1 if over else NEVER_MS}
    session.execute(update(ORDERS).where(ORDERS.c.id == order_id).values(values))
