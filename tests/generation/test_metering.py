"""A metered job, from its hold to what is taken of it: the creator's share, the statement and the doctor agree."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from atelier.catalog import pricing, seed_content, service
from atelier.catalog.pricing import Rule
from atelier.generation.artifacts import INLINE_BYTES_MAX
from atelier.generation.run import Runner
from atelier.jobs import queries as jobs
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from atelier.ledger import queries as ledger
from atelier.live.publisher import Publisher
from atelier.providers.contract import GenerationRequest, GenerationResult, Output, RunContext
from atelier.storage.local import LocalStorage
from tests.catalog import market
from tests.catalog.market import Made, ident
from tests.jobs.lifecycle import Workshop

CREDITS = 600
IMAGES = Rule(unit="image", credits=3, minimum=4, maximum=40, quantity="config.n")
SECONDS = Rule(unit="second", credits=2, minimum=0, maximum=60, quantity="output")
WRITTEN = Rule(unit="thousand_characters", credits=4, minimum=0, maximum=500, quantity="output")
SPOKEN = Rule(unit="thousand_characters", credits=4, minimum=0, maximum=100, quantity="inputData.prompt")
PICTURE = Output(type="image", content_type="image/png", data=b"\x89PNG")


def text(content: str) -> Output:
    return Output(type="text", content_type="text/plain; charset=utf-8", data=content.encode())


def sound(**metadata: Any) -> Output:
    return Output(type="audio", content_type="audio/wav", data=b"RIFF", metadata=metadata)


class Maker:
    """Makes whatever the test wants."""

    name: str = "echo"

    def __init__(self) -> None:
        self.outputs: tuple[Output, ...] = ()

    def run(self, request: GenerationRequest, context: RunContext) -> GenerationResult:
        """Return it."""
        context.progress(1.0, request.prompt)
        return GenerationResult(outputs=self.outputs)


class Gallery:
    """A creator's agent with a rule, and a worker."""

    def __init__(self, db: Database, settings: Settings, folder: Path) -> None:
        self.db = db
        self.maker = Maker()
        self.shop = Workshop(db)
        self.creator = self.shop.user()
        made = Made(number=1, price_type="pay_per_use", credits_per_use=1, creator_id=self.creator)
        db.transact(market.fill, agents=[made])
        self.runner = Runner(
            settings=settings,
            database=db,
            publisher=Publisher(settings.redis_url),
            storage=LocalStorage(folder),
            providers={"echo": self.maker},
            later={},
            name="test",
        )
        self.user = self.shop.user(credits=CREDITS)

    def submit(self, rule: Rule, *, prompt: str = "松鼠", **config: Any) -> str:
        """A job under this rule, held at what it may cost at most."""
        content = replace(
            seed_content.ECHO.content,
            price_type="pay_per_use",
            credits_per_use=rule.maximum,
            pricing=rule.document,
        )
        version = self.db.transact(service.add_version, agent_id=ident(1), content=content, now_ms=now_ms())
        price = pricing.estimate(rule, input_data={"prompt": prompt}, config=config).credits
        one = replace(
            self.shop.submission(self.user, price),
            agent_id=ident(1),
            agent_version=version,
            pricing=rule.document,
            input={"prompt": prompt},
            config=config,
        )
        self.shop.submit_all([one])
        return one.job_id

    def run(self, job_id: str, *outputs: Output) -> dict[str, Any]:
        """The worker makes these; the result."""
        self.maker.outputs = outputs
        self.runner.run(job_id)
        found = self.db.read(jobs.stored, job_id=job_id, user_id=self.user)
        assert found is not None
        result: dict[str, Any] = found.result
        return result

    def lines(self) -> list[tuple[str, int, int]]:
        """The user's statement, newest first: kind, amount, balance after."""
        lines, _ = self.db.read(ledger.statement, user_id=self.user, offset=0, limit=50)
        return [(one.kind, one.amount, one.balance_after) for one in lines]


@pytest.fixture
def gallery(db: Database, settings: Callable[..., Settings], tmp_path: Path) -> Gallery:
    return Gallery(db, settings(), tmp_path / "files")


def test_less_than_was_held_is_taken_shared_and_told(gallery: Gallery) -> None:
    job_id = gallery.submit(IMAGES, n=4)
    assert gallery.shop.balance(gallery.user).held == 12
    assert gallery.shop.job(job_id)["pricing"] == IMAGES.document
    result = gallery.run(job_id, PICTURE, PICTURE, PICTURE)
    assert result["usage"] == {"credits": 9, "unit": "image", "quantity": 3}
    job, balance = gallery.shop.job(job_id), gallery.shop.balance(gallery.user)
    assert (job["state"], job["held"], job["used"]) == ("completed", 12, 9)
    assert (balance.balance, balance.held, balance.spent) == (CREDITS - 9, 0, 9)
    assert gallery.lines()[0] == ("capture", -9, CREDITS - 9)
    # The platform's third is of what was taken, not of what was held.
    assert gallery.shop.pay_out().number == 1
    assert gallery.shop.balance(gallery.creator).balance == 6
    assert gallery.shop.examine().totals == {}


BOOK = "长" * INLINE_BYTES_MAX


class Case(NamedTuple):
    """What is asked for and what is made of it; `quantity` is how much that is."""

    rule: Rule
    config: dict[str, Any]
    held: int
    outputs: list[Output]
    used: int
    quantity: float | None


CASES = [
    Case(IMAGES, {"n": 4}, 12, [PICTURE] * 4, 12, 4),
    Case(IMAGES, {"n": 4}, 12, [PICTURE] * 9, 12, 9),
    Case(IMAGES, {"n": 4}, 12, [PICTURE], 4, 1),
    Case(IMAGES, {}, 40, [PICTURE] * 2, 6, 2),
    Case(SECONDS, {}, 60, [sound(durationSeconds=12.01)], 26, 12.01),
    Case(SECONDS, {}, 60, [sound()], 60, None),
    Case(WRITTEN, {}, 500, [text("字" * 1_001)], 8, 1_001),
    Case(WRITTEN, {}, 500, [text(BOOK)], 264, INLINE_BYTES_MAX),
    Case(SPOKEN, {}, 4, [sound()], 4, 2),
]


@pytest.mark.parametrize("case", CASES)
def test_what_was_made_decides(gallery: Gallery, case: Case) -> None:
    job_id = gallery.submit(case.rule, **case.config)
    result = gallery.run(job_id, *case.outputs)
    assert result["usage"] == {"credits": case.used, "unit": case.rule.unit, "quantity": case.quantity}
    job = gallery.shop.job(job_id)
    assert (job["state"], job["held"], job["used"]) == ("completed", case.held, case.used)
    assert gallery.shop.balance(gallery.user).available == CREDITS - case.used
    assert gallery.shop.examine().totals == {}


def test_nothing_made_is_nothing_taken(gallery: Gallery) -> None:
    job_id = gallery.submit(replace(WRITTEN, maximum=50))
    result = gallery.run(job_id, text(""))
    assert result["usage"] == {"credits": 0, "unit": "thousand_characters", "quantity": 0}
    balance = gallery.shop.balance(gallery.user)
    assert (balance.balance, balance.held, balance.spent) == (CREDITS, 0, 0)
    assert gallery.lines() == [("topup", CREDITS, CREDITS)], "nothing was taken, so nothing is told"
    assert gallery.shop.pay_out().number == 0
    assert gallery.shop.examine().totals == {}


def test_fixed_and_metered_jobs_are_written_together(gallery: Gallery) -> None:
    metered = gallery.submit(IMAGES, n=4)
    row = gallery.shop.job(metered)
    common = replace(gallery.shop.submission(gallery.user, 12), agent_id=ident(1), agent_version=row["agent_version"])
    fixed = Workshop(gallery.db).submission(gallery.user, 5)
    again = replace(common, job_id=new_id(), pricing=IMAGES.document, config={"n": 4})
    gallery.shop.submit_all([fixed, again])
    stored = [gallery.shop.job(one)["pricing"] for one in (fixed.job_id, again.job_id)]
    assert stored == [None, IMAGES.document]
    claimed = {one.id: one.pricing for one in gallery.shop.claim(fixed.job_id, again.job_id)}
    assert claimed == {fixed.job_id: None, again.job_id: IMAGES.document}
