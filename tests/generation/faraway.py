"""A worker, a poller, and a Kling of our own far away, on one database: everything that a later provider needs."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from atelier.catalog import seed_content, service
from atelier.generation.poller import Poller, Tools
from atelier.generation.run import Runner
from atelier.generation.watching import Noticed
from atelier.jobs.models import ATTEMPTS, JOBS
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.live.publisher import Publisher
from atelier.providers.fake_kling import FakeKling
from atelier.providers.kling.account import Account
from atelier.providers.kling.adapter import Kling
from atelier.providers.later import Pace
from atelier.providers.schemas import KLING
from atelier.storage.local import LocalStorage
from tests.furnishing import furnish
from tests.jobs.lifecycle import Workshop
from tests.servers import until

PRICE = 5
JOB_CHARS = len("job:") + 36
PACE = Pace(first=0.02, least=0.02, most=0.1, late=0.3)


def video_shop(db: Database) -> Workshop:
    """A workshop whose agent makes videos at Kling."""
    db.transact(furnish)
    echo = seed_content.ECHO
    runtime = {**echo.content.runtime, "provider": "kling"}
    content = replace(
        echo.content, kind="video", runtime=runtime, config_schema=KLING.config, default_config=KLING.defaults,
        credits_per_use=PRICE,
    )  # fmt: skip
    version = db.transact(service.add_version, agent_id=echo.id, content=content, now_ms=now_ms())
    return Workshop(db, agent_id=echo.id, agent_version=version, provider="kling")


class Faraway:
    """Everything composed. `work` is a worker's part, `poll` the poller's."""

    def __init__(
        self,
        db: Database,
        settings: Settings,
        fake: FakeKling,
        folder: Path,
        *,
        pace: Pace = PACE,
        kind: type[Kling] = Kling,
    ) -> None:
        self.shop = video_shop(db)
        self.fake = fake
        self.noticed: list[Noticed] = []
        self.kling = kind(Account(url=fake.url, secret_key=fake.api_key, pace=pace, seconds=2.0))
        self._publisher = Publisher(settings.redis_url)
        self.runner = Runner(
            settings=settings,
            database=db,
            publisher=self._publisher,
            storage=LocalStorage(folder / "files"),
            providers={},
            later={"kling": self.kling},
            name="test",
        )
        self._tools = Tools(settings=settings, database=db, publisher=self._publisher, runner=self.runner)
        self.poller = self.another_poller()

    def another_poller(self) -> Poller:
        """One more, as in another process."""
        return Poller(self._tools, {"kling": self.kling}, noticed=self.noticed.append)

    def close(self) -> None:
        """End what runs."""
        self.poller.close()
        self.kling.close()
        self._publisher.close()

    def submit(self, user_id: str) -> str:
        """A job that is waiting."""
        return self.shop.submit(user_id, PRICE, kind="video")

    def work(self, job_id: str) -> None:
        """What a worker does with the job's message."""
        self.runner.run(job_id)

    def poll(self, *, seconds: float = 0.5) -> None:
        """One round."""
        self.poller.round(seconds=seconds)

    def ended(self, job_id: str, *, seconds_max: float = 20) -> dict[str, Any]:
        """The row of the job once it has ended, polled until then."""

        def has_ended() -> bool:
            self.poll(seconds=0.2)
            job = self.shop.job(job_id)
            if job["state"] == "pending":
                self.shop.hasten(job_id)
                self.work(job_id)
            return job["finished_ms"] is not None

        until(has_ended, what=f"{job_id} has ended", seconds_max=seconds_max)
        return self.shop.job(job_id)

    def attempts(self, job_id: str) -> list[dict[str, Any]]:
        """The attempts at a job, the first first."""
        return self.shop.db.read(_attempts, job_id=job_id)

    def too_late(self, job_id: str, *, parked: bool = True) -> None:
        """Let the deadline of a job have passed, a while ago for the sweeper too."""
        looks = {"poll_ms": 1} if parked else {}
        past = update(JOBS).values(deadline_ms=1, sweep_ms=1, **looks).where(JOBS.c.id == job_id)
        self.shop.db.transact(_execute, past)

    @property
    def generations(self) -> int:
        """The most that any job has cost."""
        made = Counter[str]()
        for key, count in self.fake.books.generations().items():
            made[key[:JOB_CHARS]] += count
        return max(made.values(), default=0)


def _attempts(session: Session, *, job_id: str) -> list[dict[str, Any]]:
    rows = session.connection().execute(select(ATTEMPTS).where(ATTEMPTS.c.job_id == job_id).order_by(ATTEMPTS.c.fence))
    return [dict(row) for row in rows.mappings()]


def _execute(session: Session, statement: Any) -> None:
    session.connection().execute(statement)


Making = Callable[..., Faraway]
