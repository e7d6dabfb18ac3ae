"""The doctor finds nothing in what the product wrote, and each thing that a hand has changed in it, by its name."""

import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from atelier.catalog.models import AGENTS
from atelier.generation import doctor
from atelier.generation.doctor import Report
from atelier.generation.doctor_texts import SENTENCES
from atelier.kernel import invariants
from atelier.kernel.clock import DAY_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.ledger import service as ledger
from atelier.ledger.models import TRANSFERS
from atelier.mail.queue import Letter, enqueue
from atelier.marketplace import purchasing
from tests.catalog import market
from tests.catalog.market import Made
from tests.catalog.search_corruptions import SEARCH_CORRUPTIONS
from tests.generation.corruptions import CORRUPTIONS, UNGUARDED
from tests.generation.key_corruptions import KEY_CORRUPTIONS
from tests.generation.share_corruptions import SHARE_CORRUPTIONS
from tests.jobs.lifecycle import Workshop
from tests.marketplace.buying import a_wish
from tests.payments.corruptions import PAYMENT_CORRUPTIONS, TWICE
from tests.webhooks.corruptions import WEBHOOK_CORRUPTIONS
from tests.workshop.corruptions import PROJECT_CORRUPTIONS

PRICE = 5
PARAMETERS = re.compile(r"(?<!\w):(\w+)")
# A copy has the rows and none of the constraints.
WITHOUT_KEYS = (
    "CREATE TABLE bare AS SELECT * FROM {table}",
    "DROP TABLE {table}",
    "ALTER TABLE bare RENAME TO {table}",
)
UNCHECKED = {
    "sqlite": ("PRAGMA ignore_check_constraints = 1", "PRAGMA ignore_check_constraints = 0"),
    "mysql": ("SET SESSION check_constraint_checks = 0", "SET SESSION check_constraint_checks = 1"),
}
AGENT = Made(number=1, price_type="pay_per_use", credits_per_use=PRICE)
SOLD = Made(number=2, price_type="subscription", base_price=20)


class World:
    """One of everything. `names` are what the corruptions speak of."""

    def __init__(self, db: Database) -> None:
        self.db = db
        gift = Workshop(db)
        creator_id = gift.user()
        db.transact(market.fill, agents=[replace(one, creator_id=creator_id) for one in (AGENT, SOLD)])
        agent_id = market.ident(AGENT.number)
        version = db.read(_version, agent_id=agent_id)
        self.shop = shop = Workshop(db, agent_id=agent_id, agent_version=version, creator_id=creator_id)
        user = shop.user(credits=100)
        names = {
            "user": user,
            "other": shop.user(credits=30),
            "agent": agent_id,
            "creator": creator_id,
            "fresh": new_id(),
            "bought": new_id(),
        }
        names |= {
            state: shop.submit(user, PRICE) for state in ("done", "failed", "canceled", "retried", "running", "waiting")
        }
        names["plain"] = gift.submit(names["other"], PRICE)
        names |= {"free": gift.submit(user, 0), "picture": shop.submit(user, PRICE, kind="image")}
        db.transact(ledger.consume, shop.entry(user, 2, "consume"), now_ms=now_ms())
        db.transact(ledger.bonus, shop.entry(user, 10, "bonus"), now_ms=now_ms())
        assert shop.complete(shop.claim_one(names["done"]))
        assert shop.pay_out().number == 1
        assert shop.complete(shop.claim_one(names["picture"]))
        assert shop.complete(shop.claim_one(names["free"]))
        assert shop.fail(shop.claim_one(names["failed"]))
        assert shop.cancel(names["canceled"], user).done
        assert shop.put_back(shop.claim_one(names["retried"]))
        assert shop.complete(shop.claim_one(names["retried"]), used=3)
        shop.claim_one(names["running"])
        db.transact(ledger.topup, shop.entry(user, 20, "topup"), now_ms=now_ms())
        assert gift.complete(gift.claim_one(names["plain"]))
        wish = a_wish(names["other"], market.ident(SOLD.number), purchase_id=names["bought"])
        db.transact(purchasing.buy, wish, keyed=None, platform_percent=30, utc_offset_ms=0)
        self.names = names | db.read(_transfers, things=names)

    def examine_after(self, *statements: str) -> Report:
        """What the doctor says of the world with these changes, which are undone afterwards."""
        with Session(self.db.writer) as session:
            off, on = UNCHECKED[session.get_bind().dialect.name]
            session.execute(text(off))
            for statement in statements:
                session.execute(text(statement), {name: self.names[name] for name in PARAMETERS.findall(statement)})
            report = doctor.examine(session, now_ms=now_ms())
            session.execute(text(on))
            session.rollback()
        return report


def _version(session: Session, *, agent_id: str) -> int:
    return int(session.execute(select(AGENTS.c.version).where(AGENTS.c.id == agent_id)).scalar_one())


def _transfers(session: Session, *, things: Mapping[str, str]) -> dict[str, str]:
    """hold_<job> and end_<job> of each job, paid_<purchase>, share_<either> and platform_<either> of the two sharers,
    and the user's newest transfer of each other kind.
    """
    by_id = {thing_id: name for name, thing_id in things.items()}
    roles = {"hold": "hold", "capture": "end", "release": "end", "purchase": "paid"}
    names: dict[str, str] = {}
    rows = session.execute(select(TRANSFERS).order_by(TRANSFERS.c.account_version)).mappings()
    for row in rows:
        thing = by_id.get(row["ref_id"] or "")
        role = roles.get(row["kind"], "share" if row["account_id"] else "platform")
        names[f"{role}_{thing}" if thing else row["kind"]] = row["id"]
    return names


@pytest.fixture
def world(db: Database) -> World:
    return World(db)


class TestCorruptions:
    def test_each_is_named_and_nothing_else(self, world: World, subtests: pytest.Subtests) -> None:
        assert world.shop.examine().totals == {}
        for name, (changes, named) in (CORRUPTIONS | SHARE_CORRUPTIONS | SEARCH_CORRUPTIONS).items():
            with subtests.test(name):
                self.check(world, world.examine_after(changes), named)
        assert world.shop.examine().totals == {}

    @pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
    def test_what_unique_keys_prevent_is_named_too(self, world: World, subtests: pytest.Subtests) -> None:
        world.db.transact(add_a_letter, user_id=world.names["user"])
        assert world.shop.examine().totals == {}
        for name, (table, changes, named) in UNGUARDED.items():
            copied = [one.format(table=table) for one in WITHOUT_KEYS]
            with subtests.test(name):
                self.check(world, world.examine_after(*copied, changes), named, more=table == "transfers")

    def test_a_letter_that_is_not_sent_is_named(self, world: World) -> None:
        world.db.transact(add_a_letter, user_id=world.names["user"])
        for change in (
            "UPDATE emails SET due_ms = 1",
            "UPDATE emails SET created_ms = 1",
            "UPDATE emails SET due_ms = 1, state = 'sending'",
        ):
            assert world.examine_after(change).totals == {"mail.stuck": 1}
        assert world.examine_after("UPDATE emails SET due_ms = 1, state = 'sent'").totals == {}

    def test_no_check_goes_without_a_corruption_or_a_sentence(self) -> None:
        tried = {
            check for one in (CORRUPTIONS | SHARE_CORRUPTIONS | SEARCH_CORRUPTIONS).values() for check in one.named
        }
        tried |= {"mail.stuck"}
        tried |= {check for _, _, named in UNGUARDED.values() for check in named}
        tried |= {check for _, named in PROJECT_CORRUPTIONS.values() for check in named}
        tried |= {check for _, named in KEY_CORRUPTIONS.values() for check in named}
        tried |= {check for _, named in PAYMENT_CORRUPTIONS.values() for check in named} | set(TWICE[2])
        tried |= {check for _, named in WEBHOOK_CORRUPTIONS.values() for check in named}
        assert tried == set(SENTENCES)
        assert set(doctor.SEVERITIES) <= tried
        assert all(zh and en for zh, en in SENTENCES.values())

    def check(self, world: World, report: Report, named: Mapping[str, str], *, more: bool = False) -> None:
        assert set(named) <= set(report.totals) if more else set(report.totals) == set(named), report.findings
        assert report.violations + report.warnings == sum(report.totals.values())
        for check, whom in named.items():
            subjects = {one.subject for one in report.findings if one.check == check}
            assert {world.names[one] for one in whom.split()} <= subjects
            assert report.totals[check] >= len(subjects) > 0


def add_a_letter(session: Session, *, user_id: str) -> None:
    letter = Letter(email_id=new_id(), template="verify", ref="1", user_id=user_id, recipient="a@b.cn", locale="zh")
    enqueue(session, letter=letter, now_ms=now_ms())


class TestReports:
    def test_warnings_leave_the_verdict_clean_and_violations_do_not(self, world: World) -> None:
        late = world.examine_after("UPDATE jobs SET lease_ms = 1 WHERE id = :running")
        assert (late.clean, late.violations, late.warnings) == (True, 0, 1)
        (finding,) = late.findings
        assert (finding.severity, finding.check, finding.subject) == ("warning", "job.lease", world.names["running"])
        assert "queue=generation.text state=running owner=w:" in finding.detail
        lost = world.examine_after("UPDATE accounts SET debits_pending = 0 WHERE id = :user")
        assert (lost.clean, lost.violations, lost.warnings) == (False, 1, 0)
        assert "held=0" in lost.findings[0].detail
        assert "held=10" in lost.findings[0].detail

    def test_only_broken_sums_are_about_money_and_not_what_is_late(self) -> None:
        for check in ("share.sum", "share.missing", "clearing.balance", "earning.days", "purchase.paid", "job.share"):
            assert doctor.is_about_money(check)
        for check in ("share.late", "purchase.over", "job.lease", "mail.once"):
            assert not doctor.is_about_money(check)

    def test_many_findings_are_counted_and_twenty_are_shown(self, world: World) -> None:
        for _ in range(25):
            world.shop.submit(world.names["user"], 0)
        late = world.examine_after("UPDATE jobs SET sweep_ms = 1 WHERE state = 'pending'")
        assert (late.totals, late.warnings) == ({"job.unclaimed": 26, "job.price": 25}, 26)
        shown = [one.subject for one in late.findings if one.check == "job.unclaimed"]
        assert len(shown) == len(set(shown)) == invariants.EXAMPLES_MAX

    @pytest.mark.parametrize("rows", [1, 2, 3, 7, 1_000])
    def test_the_spans_of_a_walk_cover_every_row_once(self, world: World, rows: int) -> None:
        def judge(session: Session) -> dict[str, int]:
            session.execute(text("UPDATE transfers SET balance_after = balance_after + account_version"))
            found = invariants.gather(session, doctor.FAMILIES, now_ms=now_ms(), span_rows=rows)
            session.rollback()
            return {"examined": found.examined, **found.totals}

        with Session(world.db.writer) as session:
            judged = judge(session)
        with Session(world.db.writer) as session:
            transfers = session.execute(text("SELECT COUNT(account_id) FROM transfers")).scalar_one()
        assert judged["statement.balance"] == transfers
        whole = world.shop.examine(since_ms=0)
        assert judged["examined"] == whole.examined

    def test_a_check_since_a_moment_sees_what_is_newer_and_what_is_alive(self, world: World) -> None:
        shop, later = world.shop, now_ms() + DAY_MS
        world.db.transact(run, "UPDATE jobs SET used = 4 WHERE id = :job", job=world.names["done"])
        world.db.transact(run, "UPDATE jobs SET lease_ms = 1 WHERE id = :job", job=world.names["running"])
        assert set(shop.examine().totals) == {"job.capture", "job.lease"}
        assert set(shop.examine(since_ms=now_ms() - DAY_MS).totals) == {"job.capture", "job.lease"}
        assert set(shop.examine(since_ms=later).totals) == {"job.lease"}
        assert (shop.examine().whole, shop.examine(since_ms=later).whole) == (True, False)

    def test_all_is_judged_at_one_moment(self, world: World) -> None:
        user_id = world.names["user"]

        def examine(session: Session) -> dict[str, int]:
            first = doctor.examine(session, now_ms=now_ms())
            world.db.transact(run, "UPDATE accounts SET credits_posted = 900 WHERE id = :job", job=user_id)
            second = doctor.examine(session, now_ms=now_ms())
            return {**first.totals, **second.totals}

        assert world.db.snapshot(examine) == {}
        assert set(world.shop.examine().totals) == {"account.posted", "account.last"}


def run(session: Session, statement: str, *, job: str) -> None:
    session.execute(text(statement), {"job": job})
