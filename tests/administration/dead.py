"""Jobs that ended badly, at an administrator's desk."""

from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.catalog.models import AGENTS
from atelier.contracts import oplog
from atelier.generation import doctor
from atelier.jobs.models import DEAD_LETTERS, JOBS
from atelier.kernel.clock import now_ms
from atelier.webhooks.events import NewJobWebhook
from tests.administration.conftest import Json, Office
from tests.catalog import market
from tests.catalog.market import Made
from tests.jobs.lifecycle import Workshop
from tests.live.harness import Person

PRICE = 5
WHY = {"reason": "生成服务已恢复"}
AGENT = Made(number=1, price_type="pay_per_use", credits_per_use=PRICE)


@dataclass
class Ward:
    """An office, and an agent whose jobs fail."""

    office: Office
    shop: Workshop = field(init=False)

    def __post_init__(self) -> None:
        db = self.office.world.db
        creator_id = Workshop(db).user()
        db.transact(market.fill, agents=[replace(AGENT, creator_id=creator_id)])
        self.agent_id = market.ident(AGENT.number)
        version = db.read(lambda session: session.scalar(select(AGENTS.c.version).where(AGENTS.c.id == self.agent_id)))
        self.shop = Workshop(db, agent_id=self.agent_id, agent_version=version or 1, creator_id=creator_id)

    def failed(self, person: Person, *, error_code: str = "PROVIDER_UNAVAILABLE") -> str:
        """The id of a job of theirs that failed so."""
        job_id = self.shop.submit(person.id, PRICE)
        self.shop.settle(self.shop.failure(self.shop.claim_one(job_id), error_code=error_code))
        return job_id

    def followed(self, person: Person, url: str) -> str:
        """The id of a job of theirs that failed, and that had a webhook of its own."""
        one = self.shop.submission(person.id, PRICE)
        self.shop.submit_all([replace(one, webhook=NewJobWebhook(job_id=one.job_id, user_id=person.id, url=url))])
        self.shop.settle(self.shop.failure(self.shop.claim_one(one.job_id), error_code="PROVIDER_UNAVAILABLE"))
        return one.job_id

    def canceled(self, person: Person) -> str:
        """The id of a job of theirs that they have canceled."""
        job_id = self.shop.submit(person.id, PRICE)
        assert self.shop.cancel(job_id, person.id).done
        return job_id

    async def replay(self, job_id: str, *, key: str = "") -> tuple[int, Json]:
        """Ask for it once more."""
        return await self._ask(f"/api/admin/jobs/{job_id}/replay", WHY, key)

    async def replay_many(self, *, more: Json | None = None, key: str = "", **wanted: Any) -> tuple[int, Json]:
        """Ask for all of these once more."""
        return await self._ask("/api/admin/jobs/replay", {**WHY, "filter": wanted, **(more or {})}, key)

    async def _ask(self, path: str, body: Json, key: str) -> tuple[int, Json]:
        if key:
            return await self.office.ask("POST", path, body, Idempotency_Key=key)
        return await self.office.ask("POST", path, body)

    async def letters(self, query: str = "") -> list[Json]:
        """A page of dead letters."""
        status, answer = await self.office.ask("GET", f"/api/admin/dead-letters?{query}")
        assert status == 200, answer
        found: list[Json] = answer["letters"]
        return found

    def retries(self) -> dict[str, list[str]]:
        """The jobs that repeat others, by what they repeat."""
        return self.shop.db.read(_retries)

    def logged(self, action: str) -> list[Json]:
        """What the operation log says of an action."""
        return self.shop.db.read(_logged, action=action)

    def letter(self, job_id: str) -> Json:
        """The row of a job's letter."""
        return self.shop.db.read(_letter, job_id=job_id)

    def assert_sound(self) -> None:
        """The doctor minds nothing."""
        report = self.shop.db.snapshot(doctor.examine, now_ms=now_ms())
        assert [(one.check, one.subject, one.detail) for one in report.findings if one.severity == "violation"] == []


def _retries(session: Session) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for job_id, retry_of in session.execute(select(JOBS.c.id, JOBS.c.retry_of).where(JOBS.c.retry_of.is_not(None))):
        found.setdefault(retry_of, []).append(job_id)
    return found


def _logged(session: Session, *, action: str) -> list[Json]:
    rows = session.execute(select(oplog.TABLE).where(oplog.TABLE.c.action == action).order_by(oplog.TABLE.c.id))
    return [dict(row) for row in rows.mappings()]


def _letter(session: Session, *, job_id: str) -> Json:
    row = session.execute(select(DEAD_LETTERS).where(DEAD_LETTERS.c.job_id == job_id)).mappings().one_or_none()
    return dict(row) if row else {}
