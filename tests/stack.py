"""The platform's real processes on a test's own servers: to start, kill, or arm so that they die at a point."""

import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atelier.catalog import seed_content
from atelier.generation import doctor
from atelier.jobs.models import JOBS
from atelier.kernel import settings as settings_module
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.keyring import Keyring
from atelier.onboarding import operator
from atelier.orders import seeding
from tests.furnishing import furnish
from tests.nursery import Role
from tests.servers import LOOPBACK, NO_AUTHORITIES, Process, free_port, until

ROLES = {
    "web": ("web",),
    "generation": ("tasks", "worker", "generation"),
    "media": ("tasks", "worker", "media"),
    "money": ("tasks", "worker", "money"),
    "submitting": ("tasks", "worker", "generation", "--queues", "generation.video"),
    "relay": ("tasks", "relay"),
    "beat": ("schedules",),
}
SECRET = "4f1d0a7c9be24d0f8a63b5e7c2d19480f7a6e5d4c3b2a190"
KEYRING = Keyring.of(SECRET)
PASSWORD = "correct horse battery"
# Quick to notice what was lost, so that a crash test takes seconds.
QUICK = {
    "ATELIER_LEASE_SECONDS": "3",
    "ATELIER_SWEEP_SECONDS": "1",
    "ATELIER_REPUBLISH_SECONDS": "1",
    "ATELIER_BACKOFF_MS": "100",
    "ATELIER_SUBMISSIONS_PER_MINUTE": "100000",
    "ATELIER_REQUESTS_PER_MINUTE": "1000000",
    "ATELIER_REGISTRATIONS_PER_MINUTE": "100000",
    "ATELIER_ORDERS_PER_MINUTE": "100000",
    "ATELIER_UPLOADS_PER_MINUTE": "100000",
    "ATELIER_AGENT_CHANGES_PER_MINUTE": "100000",
    "ATELIER_KEY_CHANGES_PER_MINUTE": "100000",
    "ATELIER_API_KEYS_MAX": "1000",
    "ATELIER_WELCOME_BONUS_ON": "registration",
    "ATELIER_SLOTS_TEXT": "8",
    "ATELIER_SLOTS_MEDIA": "1",
    "ATELIER_SLOTS_MONEY": "1",
}


@dataclass
class Stack:
    """All roles, on one database and one broker. Close it."""

    database_url: str
    redis_url: str
    folder: Path
    env: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self.port = free_port()
        self.processes: dict[str, Process] = {}
        self.database = Database(self.database_url)
        self.database.transact(furnish)
        self.database.transact(seeding.seed, now_ms=now_ms())
        self.client = httpx.Client(base_url=f"http://{LOOPBACK}:{self.port}", timeout=30, verify=NO_AUTHORITIES)
        self._environment = {
            **QUICK,
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "JWT_SECRET": SECRET,
            "PORT": str(self.port),
            "ATELIER_METRICS_PORT": str(free_port()),
            "ATELIER_DATA_DIR": str(self.folder / "data"),
            "ATELIER_ENV": "development",
            **self.env,
        }

    def start(self, *roles: str, fault: str = "", **env: str) -> None:
        """Start roles; `fault` arms them: `worker.after_claim:kill:2`."""
        for role in roles:
            name, number = role, 2
            while name in self.processes and self.processes[name].alive:
                name, number = f"{role}-{number}", number + 1
            environment = {**self._environment, **env, **({"ATELIER_FAULT": fault} if fault else {})}
            log = Path(tempfile.mkstemp(prefix=f"{name}-", suffix=".log", dir=self.folder)[1])
            process = Role(*ROLES[role], log=log, env=environment)
            self.processes[name] = process.start(ready=self._ready if role == "web" else None)

    def start_all(self) -> None:
        """Every role that generation needs."""
        self.start("generation", "money", "relay", "beat", "web")

    def close(self) -> None:
        """Kill everything."""
        for process in self.processes.values():
            process.kill()
        self.client.close()
        self.database.close()

    def user(self, name: str, *, amount: int = 0) -> dict[str, str]:
        """A new user with that many credits; the headers that sign in."""
        operator.create_user(
            self.database, email=f"{name}@example.com", username=name, password=PASSWORD, amount=amount
        )
        answer = self.client.post("/api/auth/login", json={"loginId": name, "password": PASSWORD})
        answer.raise_for_status()
        return {"Authorization": f"Bearer {answer.json()['token']}"}

    def settings(self) -> settings_module.Settings:
        """The settings that the roles have."""
        return settings_module.load(
            database_url=self.database_url, redis_url=self.redis_url, jwt_secret=SECRET, data_dir=self.folder / "data"
        )

    def agent(self, slug: str) -> str:
        """The id of a seeded agent."""
        return next(agent.id for agent in (*seed_content.AGENTS, seed_content.ECHO) if agent.shown.slug == slug)

    def echo(self, headers: Mapping[str, str], *, key: str | None = None, **config: Any) -> httpx.Response:
        """Submit a job of the echo agent."""
        body = {"agentId": seed_content.ECHO.id, "inputData": {"prompt": "回声"}, "config": config}
        extra = {"Idempotency-Key": key} if key else {}
        return self.client.post("/api/workshop/generate", json=body, headers={**headers, **extra})

    def states(self) -> Counter[str]:
        """How many jobs are in which state."""
        return self.database.read(_states)

    def until_finished(self, *, seconds_max: float = 60) -> Counter[str]:
        """Wait until no job is pending or running."""
        until(
            lambda: not (self.states().keys() & {"pending", "running"}),
            what="all jobs have ended",
            seconds_max=seconds_max,
        )
        return self.states()

    def diagnosis(self) -> list[str]:
        """What the doctor finds, violations and warnings."""
        report = self.database.snapshot(doctor.examine, now_ms=now_ms())
        return [f"{finding.severity} {finding.check} {finding.subject}" for finding in report.findings]

    def _ready(self) -> bool:
        try:
            return self.client.get("/api/health/live").is_success
        except httpx.HTTPError:
            return False


def _states(session: Session) -> Counter[str]:
    rows = session.execute(select(JOBS.c.state, func.count()).group_by(JOBS.c.state))
    return Counter({row[0]: row[1] for row in rows})
