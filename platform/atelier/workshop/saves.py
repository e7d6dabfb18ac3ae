"""Versions that jobs add: asked for when the job is submitted, made when it completes, in the same transaction.

The job's transaction is fenced, and a job makes one version at most (a unique key): whatever is killed when, there is
one version, or none and the job has not completed. A job completes also when there can't be a version any more, because
the project was deleted, the right to write to it was lost, or it is full: then the row says why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Row, insert, select, update
from sqlalchemy.orm import Session

from atelier.kernel.errors import Forbidden
from atelier.workshop import access, previews, versions
from atelier.workshop.errors import ProjectNotFound, TooManyVersions
from atelier.workshop.models import PROJECTS, SAVES, VERSIONS

METADATA_BYTES_MAX = 2_000
P, S = PROJECTS.c, SAVES.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A job that completes, for a project. `outputs` is what its result says of what it made."""

    job_id: str
    project_id: str
    user_id: str
    agent_id: str
    kind: str
    outputs: list[dict[str, Any]]
    versions_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Save:
    """What became of it: the version's number, or the code of why there is none; neither before the job completes."""

    project_id: str
    number: int | None
    reason: str | None


def request(session: Session, wanted: Sequence[tuple[str, str]], *, now_ms: int) -> None:
    """Note that the results of these jobs are to become versions; given as (job, project)."""
    rows = [{"job_id": job_id, "project_id": project_id, "created_ms": now_ms} for job_id, project_id in wanted]
    if rows:
        session.connection().execute(insert(SAVES), rows)


def of_job(session: Session, *, job_id: str) -> Save | None:
    """What became of a job's version; None when none was asked for."""
    row = (
        session.connection()
        .execute(
            select(S.project_id, VERSIONS.c.number, S.reason)
            .outerjoin_from(SAVES, VERSIONS, VERSIONS.c.job_id == S.job_id)
            .where(S.job_id == job_id)
        )
        .one_or_none()
    )
    return Save(project_id=row.project_id, number=row.number, reason=row.reason) if row else None


def carry_out(session: Session, made: Sequence[Made], *, now_ms: int) -> None:
    """Add a version for each of the jobs for which one was asked for, or note why not. The caller holds the jobs' rows.

    Many jobs of one project cost as many statements as one job.
    """
    asked = _asked(session, made)
    wanted = [one for one in made if one.job_id in asked]
    if not wanted:
        return
    projects = _locked(session, {one.project_id for one in wanted})
    roles = access.member_roles(session, pairs=[(one.project_id, one.user_id) for one in wanted])
    counts = {project_id: int(row.versions) for project_id, row in projects.items()}
    rows: list[dict[str, Any]] = []
    refused: dict[str, list[str]] = {}
    for one in wanted:
        reason = _obstacle(one, projects.get(one.project_id), counts, roles)
        if reason is not None:
            refused.setdefault(reason, []).append(one.job_id)
            continue
        counts[one.project_id] += 1
        rows.append(_row(one, number=counts[one.project_id], now_ms=now_ms))
    _write(session, rows, now_ms=now_ms)
    for reason, job_ids in refused.items():
        session.connection().execute(update(SAVES).where(S.job_id.in_(job_ids)).values(reason=reason))


def _asked(session: Session, made: Sequence[Made]) -> set[str]:
    job_ids = [one.job_id for one in made]
    return set(session.connection().scalars(select(S.job_id).where(S.job_id.in_(job_ids))))


def _locked(session: Session, project_ids: set[str]) -> Mapping[str, Row[*tuple[Any, ...]]]:
    rows = session.connection().execute(
        select(P.id, P.owner_id, P.visibility, P.versions)
        .where(P.id.in_(sorted(project_ids)), P.deleted_ms.is_(None))
        .order_by(P.id)
        .with_for_update()
    )
    return {row.id: row for row in rows}


def _obstacle(
    one: Made, project: Row[*tuple[Any, ...]] | None, counts: Mapping[str, int], roles: Mapping[tuple[str, str], str]
) -> str | None:
    if project is None:
        return ProjectNotFound.code
    role = access.role_of(
        owner_id=project.owner_id,
        visibility=project.visibility,
        user_id=one.user_id,
        member_role=roles.get((one.project_id, one.user_id)),
    )
    if not access.allows("write", visibility=project.visibility, role=role):
        return Forbidden.code
    return TooManyVersions.code if counts[one.project_id] >= one.versions_max else None


def _row(one: Made, *, number: int, now_ms: int) -> dict[str, Any]:
    outputs = [_referred(place, output) for place, output in enumerate(one.outputs)]
    content = {"jobId": one.job_id, "agentId": one.agent_id, "kind": one.kind, "outputs": outputs}
    return {
        "project_id": one.project_id,
        "number": number,
        "id": one.job_id,
        "author_id": one.user_id,
        "job_id": one.job_id,
        "kind": one.kind,
        "preview": previews.of_outputs(one.outputs),
        "size": len(to_json(content)),
        "content": content,
        "created_ms": now_ms,
    }


def _referred(place: int, output: Mapping[str, Any]) -> dict[str, Any]:
    """What a version says of an output: which one of the job it is and what it is like, never what is in it."""
    shown: dict[str, Any] = {"output": place}
    shown |= {name: output[name] for name in ("type", "contentType", "size", "sha256") if name in output}
    metadata: dict[str, Any] = output.get("metadata", {})
    return shown | ({"metadata": metadata} if len(to_json(metadata)) <= METADATA_BYTES_MAX else {})


def _write(session: Session, rows: list[dict[str, Any]], *, now_ms: int) -> None:
    if not rows:
        return
    session.connection().execute(insert(VERSIONS), rows)
    for project_id, newest in {row["project_id"]: row["number"] for row in rows}.items():
        versions.moved(session, project_id=project_id, versions=newest, current=newest, now_ms=now_ms)
