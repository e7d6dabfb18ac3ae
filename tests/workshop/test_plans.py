"""However many projects there are, nothing that is asked often reads them all."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event, insert
from sqlalchemy.orm import Session

from atelier.collaboration import projects
from atelier.kernel.ids import new_id
from atelier.workshop import projects as workshop
from atelier.workshop.models import INVITATIONS, MEMBERS, PROJECTS, SAVES, VERSIONS
from atelier.workshop.queries import Filter
from tests.workshop.studio import Studio

MANY = 1_500
OWNERS = 300


def fill(session: Session, *, friend: str) -> None:
    """Projects of many owners, each with versions, a member and a save; the friend works on a few."""
    owners = [new_id() for _ in range(OWNERS)]
    ids = [new_id() for _ in range(MANY)]
    session.execute(insert(PROJECTS), [_project(one, owners[place % OWNERS]) for place, one in enumerate(ids)])
    rows: list[dict[str, Any]] = [
        {
            "id": new_id(),
            "project_id": one,
            "number": number,
            "author_id": owners[0],
            "job_id": new_id(),
            "size": 2,
            "content": {},
            "created_ms": 1,
        }
        for one in ids
        for number in (1, 2)
    ]
    session.execute(insert(VERSIONS), rows)
    session.execute(insert(SAVES), [{"job_id": row["job_id"], "project_id": ids[0], "created_ms": 1} for row in rows])
    members = [(one, friend if place < 20 else new_id()) for place, one in enumerate(ids)]
    session.execute(
        insert(MEMBERS),
        [{"project_id": one, "user_id": user, "role": "editor", "joined_ms": 1} for one, user in members],
    )
    invited = {"role": "viewer", "state": "open", "created_ms": 1, "expires_ms": 9_000_000_000_000}
    session.execute(
        insert(INVITATIONS),
        [{**invited, "id": new_id(), "project_id": one, "address": "a@b.c", "user_id": new_id()} for one in ids],
    )


def _project(project_id: str, owner_id: str) -> dict[str, Any]:
    return {
        "id": project_id,
        "owner_id": owner_id,
        "title": "江南",
        "type": "text",
        "status": "draft",
        "visibility": "team",
        "config": {},
        "revision": 1,
        "versions": 2,
        "current_number": 2,
        "created_ms": 1,
        "updated_ms": 1,
    }


def analyze(session: Session) -> None:
    names = ", ".join(one.name for one in (PROJECTS, VERSIONS, MEMBERS, INVITATIONS, SAVES))
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    session.connection().exec_driver_sql("ANALYZE" if is_sqlite else f"ANALYZE TABLE {names}")


@contextmanager
def noted(*engines: Engine) -> Generator[list[tuple[str, Any]]]:
    """The statements that are sent meanwhile."""
    statements: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:  # noqa: FBT001
        if statement.split(maxsplit=1)[0] in {"SELECT", "UPDATE", "DELETE"} and not many:
            statements.append((statement, parameters))

    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    yield statements
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)


def scanned(session: Session, *, statement: tuple[str, Any]) -> set[str]:
    """The tables of projects that the statement reads whole."""
    connection = session.connection()
    is_sqlite = connection.dialect.name == "sqlite"
    plan = connection.exec_driver_sql(f"EXPLAIN {'QUERY PLAN ' if is_sqlite else ''}{statement[0]}", statement[1])
    rows = plan.mappings().all()
    if is_sqlite:
        found = {row["detail"].split()[1] for row in rows if row["detail"].startswith("SCAN")}
    else:
        found = {row["table"] for row in rows if row["type"] in {"ALL", "index"}}
    return {name for name in found if name and name.startswith("project")}


def test_nothing_that_is_asked_often_reads_a_whole_table(studio: Studio) -> None:
    owner, friend, _ = (studio.user(name) for name in ("owner", "friend", "guest"))
    studio.db.transact(fill, friend=friend)
    try:
        studio.db.transact(analyze)
        project = studio.project(owner, editor=friend)
        with noted(studio.db.reader, studio.db.writer) as statements:
            everything(studio, project, owner, friend)
        assert len(statements) > 50
        plans = {one[0]: studio.db.transact(scanned, statement=one) for one in statements}
        assert {statement: tables for statement, tables in plans.items() if tables} == {}
    finally:
        studio.db.transact(empty)


def everything(studio: Studio, project: str, owner: str, friend: str) -> None:
    """All that people and workers do."""
    pages: list[Callable[[], object]] = [
        lambda wanted=wanted: studio.db.read(projects.page, wanted=wanted, offset=0, limit=20, now_ms=2)  # type: ignore[misc]
        for wanted in (
            Filter(user_id=owner),
            Filter(user_id=owner, status="draft", type="text"),
            Filter(user_id=owner, binned=True),
            Filter(user_id=friend, shared=True),
            Filter(user_id=friend, role="editor"),
        )
    ]
    for page in pages:
        page()
    studio.add(project, friend)
    studio.read(project, friend)
    studio.db.read(projects.versions_page, project_id=project, user_id=friend, offset=0, limit=20)
    studio.complete(studio.submit(project, friend))
    studio.invite(project, owner, email="someone@example.com")
    studio.invite(project, owner, username="guest")
    studio.team(project, owner)
    studio.restore(project, owner, 1)
    studio.remove(project, owner, friend)
    studio.delete(project, owner)
    studio.db.transact(workshop.purge_some, now_ms=1)


def empty(session: Session) -> None:
    for table in (SAVES, INVITATIONS, MEMBERS, VERSIONS, PROJECTS):
        session.execute(table.delete())
