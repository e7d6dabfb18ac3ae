"""Jobs whose results have files and an end, projects that refer to them, and a clock that a test moves."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from atelier.generation import artifacts, expiring
from atelier.generation.into_project import Into
from atelier.jobs.models import RESULTS
from atelier.kernel.clock import DAY_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.errors import Refusal
from atelier.kernel.ids import new_id
from atelier.providers.contract import GenerationResult, Output
from atelier.storage.port import Storage
from atelier.workshop import projects
from tests.workshop.studio import VERSIONS_MAX, Studio

PICTURES = GenerationResult(
    outputs=(
        Output(type="image", content_type="image/png", data=b"a picture"),
        Output(type="image", content_type="image/png", data=b"another"),
    )
)


class Shelf:
    """`later_ms` is how far this clock is ahead of the database's."""

    def __init__(self, db: Database, storage: Storage) -> None:
        self.db = db
        self.storage = storage
        self.studio = Studio(db)
        self.owner = self.studio.user()
        self.later_ms = 0

    def make(self, *, days: int | None = 1, project_id: str | None = None) -> str:
        """A job that has completed, with two files; for a project, to which it adds a version."""
        jobs = self.studio.jobs
        asked = replace(
            jobs.submission(self.owner, 0, kind="image"), project_id=project_id, save_version=project_id is not None
        )
        (outcome,) = jobs.submit_all([asked])
        assert not isinstance(outcome, Refusal), outcome
        claimed = jobs.claim_one(asked.job_id)
        result = artifacts.keep(self.storage, PICTURES, folder=f"outputs/{claimed.id}/{claimed.fence}")
        made = jobs.completion(claimed)
        kept_ms = None if days is None else self.later_ms + days * DAY_MS
        into = Into(project_id, self.owner, claimed.agent_id, claimed.kind, VERSIONS_MAX) if project_id else None
        (settled,) = jobs.settle(replace(made, ending=replace(made.ending, result=result, kept_ms=kept_ms), into=into))
        assert settled
        return asked.job_id

    def add(self, project_id: str, content: dict[str, Any]) -> int:
        """Add a version by hand; its number."""
        return self.studio.add(project_id, self.owner, content=content)[1].number

    def purge(self, project_id: str) -> None:
        """Delete a project for good."""
        self.studio.delete(project_id, self.owner, at_ms=now_ms())
        while self.db.transact(projects.purge_some, now_ms=now_ms() + projects.PURGE_AFTER_MS + 1_000):
            pass

    def expire(self, *, days: float = 0) -> int:
        """What the collector does so many days later; how many results it removed."""
        self.later_ms += int(days * DAY_MS)
        return expiring.expire(self.db, storage=self.storage, now_ms=now_ms() + self.later_ms)

    def result(self, job_id: str) -> Row[Any]:
        """The result's row."""
        return self.db.read(_result, job_id=job_id)

    def files(self, job_id: str) -> list[str]:
        """Its files."""
        return self.storage.keys(f"outputs/{job_id}", limit=10)

    def is_whole(self, job_id: str) -> bool:
        """Whether everything is there."""
        row = self.result(job_id)
        return row.gone_ms is None and self.files(job_id) == [one["key"] for one in row.document["outputs"]] != []

    def is_gone(self, job_id: str) -> bool:
        """Whether nothing is left."""
        row = self.result(job_id)
        emptied = row.gone_ms is not None and row.expires_ms is None and row.document["outputs"] == []
        return emptied and not self.files(job_id)


def spoken(job_ids: Sequence[str], *, as_link: bool) -> dict[str, Any]:
    """A content that speaks of these jobs, somewhere inside."""
    if as_link:
        text = " ".join(f"https://example.com/api/jobs/{one}/outputs/0?expires=1" for one in job_ids)
        return {"pages": [{"html": f"<img src='{text}'>"}]}
    return {"scenes": [[{"jobId": one, "output": 1}] for one in job_ids], "id": new_id()}


def _result(session: Session, *, job_id: str) -> Row[Any]:
    return session.connection().execute(select(RESULTS).where(RESULTS.c.job_id == job_id)).one()
