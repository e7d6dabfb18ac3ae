"""What is written down of who holds a job fits its column, whatever the worker's machine is called."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import String

from atelier.catalog import seed_content
from atelier.generation.owners import OWNER_CHARS, owner
from atelier.generation.run import Runner
from atelier.jobs.models import JOBS
from atelier.kernel.database import Database
from atelier.kernel.ids import is_id
from atelier.kernel.settings import Settings
from atelier.live.publisher import Publisher
from atelier.providers.echo import Echo
from atelier.storage.local import LocalStorage
from tests.furnishing import furnish
from tests.jobs.lifecycle import Workshop

PID = 4_194_303  # the greatest that Linux gives
PROCESSES = [
    f"web-1:{PID}",
    f"ip-10-0-12-34.eu-central-1.compute.internal:{PID}",
    f"{'atelier-worker-generation-' * 2}6d5f7c9b8d-a:{PID}",
    f"创意工作坊的第一台机器:{PID}",
    # Bytes that are no text: so Python says what a host is called that has them in its name.
    f"{chr(0xDCFF) * 64}:{PID}",
]


@pytest.mark.parametrize("process", PROCESSES, ids=range(len(PROCESSES)))
def test_an_owner_fits_its_column_and_is_never_the_same(process: str) -> None:
    column = JOBS.c.owner.type
    assert isinstance(column, String)
    assert column.length == OWNER_CHARS
    made = owner(process)
    name, _, claim = made.rpartition(":")
    assert made.isascii()
    assert len(made) <= OWNER_CHARS
    assert is_id(claim)
    assert name.endswith(f":{PID}")
    assert owner(process) != made


def test_pods_that_differ_at_the_end_stay_different() -> None:
    host = "atelier-worker-generation-of-a-long-name-"
    first, second = (owner(f"{host}{end}:{PID}").rpartition(":")[0] for end in ("6d5f7", "9b8d2"))
    assert first.startswith("atelier-worker-")
    assert first != second


@pytest.mark.parametrize("process", PROCESSES, ids=range(len(PROCESSES)))
def test_a_worker_of_such_a_machine_takes_jobs(
    db: Database, settings: Callable[..., Settings], tmp_path: Path, process: str
) -> None:
    db.transact(furnish)
    shop, chosen = Workshop(db, agent_id=seed_content.ECHO.id), settings()
    job_id = shop.submit(shop.user(), 0)
    runner = Runner(
        settings=chosen,
        database=db,
        publisher=Publisher(chosen.redis_url),
        storage=LocalStorage(tmp_path / "files"),
        providers={"echo": Echo()},
        later={},
        name=process,
    )
    runner.run(job_id)
    assert shop.job(job_id)["state"] == "completed"
