"""Many jobs at once at a provider that takes minutes, run by the platform's real processes, and what came of it."""

import json
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atelier.jobs.models import JOBS
from atelier.kernel.database import Database
from atelier.kernel.errors import Refusal
from atelier.providers.fake_kling import FakeKling
from tests.generation.faraway import JOB_CHARS, PRICE, video_shop

JOBS_OF_ONE = 5
GROUP = 40


def environment(fake: FakeKling, *, pace: Sequence[float]) -> dict[str, str]:
    """What the roles are told of the provider."""
    return {
        "ATELIER_KLING_URL": fake.url,
        "ATELIER_KLING_SECRET_KEY": fake.api_key,
        "ATELIER_KLING_PACE": ",".join(map(str, pace)),
    }


def submit(database: Database, *, count: int) -> list[str]:
    """So many waiting jobs, five of each user; their ids."""
    shop = video_shop(database)
    users = [shop.user(credits=JOBS_OF_ONE * PRICE) for _ in range(-(-count // JOBS_OF_ONE))]
    wanted = [shop.submission(users[number // JOBS_OF_ONE], PRICE, kind="video") for number in range(count)]
    for start in range(0, count, GROUP):
        outcomes = shop.submit_all(wanted[start : start + GROUP], attempts_max=10)
        assert not [one for one in outcomes if isinstance(one, Refusal)]
    return [one.job_id for one in wanted]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How late ends were noticed, in the intervals at which their tasks were being looked at, and in milliseconds."""

    count: int
    p50: float
    p95: float
    p95_ms: float


def lag(log: Path) -> Lag:
    """What a poller's log says."""
    noticed = list(_noticed(log))
    shares = [lag_ms / interval_ms for lag_ms, interval_ms in noticed]
    hundredths = statistics.quantiles(shares, n=100)
    late_ms = statistics.quantiles([lag_ms for lag_ms, _ in noticed], n=100)[94]
    return Lag(count=len(noticed), p50=hundredths[49], p95=hundredths[94], p95_ms=late_ms)


def _noticed(log: Path) -> Iterator[tuple[int, int]]:
    for line in log.read_text(encoding="utf-8").splitlines():
        if '"job.noticed"' in line:
            told = json.loads(line[line.index("{") :])
            yield told["lag_ms"], told["interval_ms"]


def generations(fake: FakeKling) -> Counter[str]:
    """How many each job has cost."""
    made = Counter[str]()
    for key, count in fake.books.generations().items():
        made[key[:JOB_CHARS]] += count
    return made


def states(session: Session) -> Counter[str]:
    """How many jobs are in which state; `parked` are those that run without a worker."""
    rows = session.connection().execute(
        select(JOBS.c.state, JOBS.c.poll_ms.is_not(None), func.count()).group_by(
            JOBS.c.state, JOBS.c.poll_ms.is_not(None)
        )
    )
    return Counter({"parked" if row[1] else row[0]: row[2] for row in rows})
