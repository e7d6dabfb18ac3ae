"""People, projects and jobs for them, driven through the product's own verbs on one database."""

from dataclasses import replace
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from atelier.accounts.models import User
from atelier.collaboration import adding, inviting, projects
from atelier.collaboration.inviting import Asked, Team
from atelier.collaboration.projects import Shown
from atelier.generation.into_project import Into
from atelier.generation.settle import Settled, Settlement
from atelier.generation.submit import Accepted
from atelier.jobs.service import Claimed
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.errors import Refusal
from atelier.kernel.ids import new_id
from atelier.ledger import service as ledger
from atelier.notifications.models import Notification
from atelier.workshop import members, saves, versions
from atelier.workshop import projects as workshop
from atelier.workshop.access import Project
from atelier.workshop.models import INVITATIONS, MEMBERS, PROJECTS, VERSIONS
from atelier.workshop.projects import Changes, NewProject
from atelier.workshop.queries import Filter
from atelier.workshop.saves import Save
from atelier.workshop.versions import NewVersion, Version
from tests.jobs.lifecycle import Workshop

PROJECTS_MAX = 10
VERSIONS_MAX = 50
MEMBERS_MAX = 5


class Studio:
    """One database and what people make on it. `jobs` is what workers do there."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.jobs = Workshop(db)

    # -- people and projects

    def user(self, name: str | None = None, *, verified: bool = True, credits: int = 0) -> str:  # noqa: A002 - the product's word
        """A new user; their e-mail address is <name>@example.com."""
        user_id = new_id()
        known = name or f"u{user_id[-12:]}"
        self.db.transact(_insert_user, user_id=user_id, name=known, verified=verified)
        if credits:
            self.jobs.topup(user_id, credits)
        return user_id

    def create(self, owner_id: str, *, visibility: str = "team", **changes: Any) -> Shown:
        """A new project, as its owner is answered."""
        values: dict[str, Any] = {"title": "江南四季", "description": None, "type": "mixed", "config": {}, **changes}
        new = NewProject(id=new_id(), owner_id=owner_id, visibility=visibility, **values)
        return self.db.transact(projects.create, new=new, projects_max=PROJECTS_MAX, now_ms=now_ms())

    def project(self, owner_id: str, *, visibility: str = "team", **roles: str) -> str:
        """A new project with people in these roles: `editor=user_id, viewer=user_id`."""
        project_id = self.create(owner_id, visibility=visibility).project.id
        self.join(project_id, **roles)
        return project_id

    def join(self, project_id: str, **roles: str) -> None:
        """Let people work on it in these roles."""
        for role, user_id in roles.items():
            self.db.transact(_join, project_id=project_id, user_id=user_id, role=role)

    def read(self, project_id: str, user_id: str | None) -> Shown:
        """The project as this user finds it."""
        return self.db.read(projects.one, project_id=project_id, user_id=user_id)

    def page(self, user_id: str, **wanted: Any) -> list[str]:
        """The ids of a user's projects."""
        found, total = self.db.read(
            projects.page, wanted=Filter(user_id=user_id, **wanted), offset=0, limit=50, now_ms=now_ms()
        )
        assert total == len(found)
        return [one.project.id for one in found]

    def change(self, project_id: str, user_id: str, *, seen: str | None = None, **values: Any) -> Project:
        """Change a project, as someone who has seen it at this revision."""
        changes: Changes = values  # type: ignore[assignment]
        expected = None if seen is None else frozenset({seen})
        return self.db.transact(
            workshop.change, project_id=project_id, user_id=user_id, changes=changes, seen=expected, now_ms=now_ms()
        )

    def delete(self, project_id: str, user_id: str, *, at_ms: int | None = None) -> None:
        """Put it into the bin."""
        self.db.transact(workshop.bin_, project_id=project_id, user_id=user_id, now_ms=at_ms or now_ms())

    def take_out(self, project_id: str, user_id: str) -> Shown:
        """Take it out of the bin."""
        return self.db.transact(
            projects.take_out, project_id=project_id, user_id=user_id, projects_max=PROJECTS_MAX, now_ms=now_ms()
        )

    # -- versions

    def add(
        self, project_id: str, user_id: str, *, versions_max: int = VERSIONS_MAX, **new: Any
    ) -> tuple[int, Version]:
        """Add a version: the current number, and the version."""
        values: dict[str, Any] = {"id": new_id(), "content": {"text": "清晨"}, **new}
        made = NewVersion(**values)
        return self.db.transact(
            adding.add, made, project_id=project_id, user_id=user_id, versions_max=versions_max, now_ms=now_ms()
        )

    def restore(self, project_id: str, user_id: str, number: int) -> Version:
        """Make a version current again."""
        return self.db.transact(
            versions.restore, project_id=project_id, user_id=user_id, number=number, now_ms=now_ms()
        )

    def numbers(self, project_id: str) -> list[int]:
        """The numbers of a project's versions, in order."""
        return self.db.read(_numbers, project_id=project_id)

    def current(self, project_id: str) -> int | None:
        """The number of the current version."""
        return self.db.read(_current, project_id=project_id)

    # -- members

    def invite(
        self,
        project_id: str,
        owner_id: str,
        *,
        email: str | None = None,
        username: str | None = None,
        role: str = "editor",
        at_ms: int | None = None,
    ) -> None:
        """Invite someone."""
        asked = Asked(
            invitation_id=new_id(),
            notice_id=new_id(),
            project_id=project_id,
            owner_id=owner_id,
            email=email,
            username=username,
            role=role,
        )
        self.db.transact(inviting.invite, asked, members_max=MEMBERS_MAX, now_ms=at_ms or now_ms())

    def accept(self, project_id: str, user_id: str, *, at_ms: int | None = None) -> Shown:
        """Accept an invitation."""
        return self.db.transact(
            inviting.accept, project_id=project_id, user_id=user_id, notice_id=new_id(), now_ms=at_ms or now_ms()
        )

    def decline(self, project_id: str, user_id: str) -> None:
        """Decline an invitation."""
        self.db.transact(members.decline, project_id=project_id, user_id=user_id, now_ms=now_ms())

    def remove(self, project_id: str, actor_id: str, user_id: str) -> None:
        """Let someone go."""
        self.db.transact(members.remove, project_id=project_id, actor_id=actor_id, user_id=user_id)

    def team(self, project_id: str, user_id: str) -> Team:
        """Who works on it, as this user sees them."""
        return self.db.read(inviting.team, project_id=project_id, user_id=user_id, now_ms=now_ms())

    def notices(self, user_id: str) -> list[tuple[str, dict[str, Any]]]:
        """What a user was told of: kind and data."""
        return self.db.read(_notices, user_id=user_id)

    # -- jobs

    def submit(self, project_id: str, user_id: str, *, price: int = 0, save: bool = True) -> str:
        """The id of a job that is to become a version. Raises what it was refused for."""
        asked = replace(self.jobs.submission(user_id, price), project_id=project_id, save_version=save)
        (outcome,) = self.jobs.submit_all([asked])
        if isinstance(outcome, Refusal):
            raise outcome
        assert isinstance(outcome, Accepted)
        return asked.job_id

    def completion(self, claimed: Claimed, *, versions_max: int = VERSIONS_MAX) -> Settlement:
        """A good end of this attempt, with what a worker says of its project."""
        assert claimed.project_id
        into = Into(claimed.project_id, claimed.user_id, claimed.agent_id, claimed.kind, versions_max)
        made = self.jobs.completion(claimed)
        output: dict[str, Any] = {"type": "text", "contentType": "text/plain", "size": 6, "text": "松鼠"}
        output |= {"sha256": "0" * 64, "metadata": {}}
        result = {"outputs": [output]}
        return replace(made, ending=replace(made.ending, result=result), into=into)

    def complete(self, job_id: str, **more: Any) -> Settled | None:
        """Claim the job and complete it."""
        (settled,) = self.jobs.settle(self.completion(self.jobs.claim_one(job_id), **more))
        return settled

    def save(self, job_id: str) -> Save | None:
        """What became of the version that a job was to add."""
        return self.db.read(saves.of_job, job_id=job_id)


def _insert_user(session: Session, *, user_id: str, name: str, verified: bool) -> None:
    row: dict[str, Any] = {
        "id": user_id, "email": f"{name}@example.com", "email_key": f"{name}@example.com", "username": name,
        "username_key": name, "password_hash": "-", "display_name": f"{name} 的名字", "role": "user",
        "status": "active", "token_version": 0, "email_verified_ms": now_ms() if verified else None, "settings": {},
        "created_ms": now_ms(), "updated_ms": now_ms(),
    }  # fmt: skip
    session.execute(insert(User), row)
    ledger.open_account(session, user_id=user_id, now_ms=now_ms())


def _join(session: Session, *, project_id: str, user_id: str, role: str) -> None:
    session.execute(
        insert(MEMBERS), {"project_id": project_id, "user_id": user_id, "role": role, "joined_ms": now_ms()}
    )


def _numbers(session: Session, *, project_id: str) -> list[int]:
    found = select(VERSIONS.c.number).where(VERSIONS.c.project_id == project_id).order_by(VERSIONS.c.number)
    return list(session.connection().scalars(found))


def _current(session: Session, *, project_id: str) -> int | None:
    found: int | None = session.connection().scalar(
        select(PROJECTS.c.current_number).where(PROJECTS.c.id == project_id)
    )
    return found


def _notices(session: Session, *, user_id: str) -> list[tuple[str, dict[str, Any]]]:
    found = select(Notification.kind, Notification.data).where(Notification.user_id == user_id)
    return [(row.kind, row.data) for row in session.execute(found.order_by(Notification.id))]


def expire_invitations(session: Session) -> None:
    """Let every invitation be a week old."""
    session.execute(update(INVITATIONS).values(expires_ms=1))


def count(session: Session) -> dict[str, int]:
    """How many rows the tables of projects have."""
    tables = (PROJECTS, VERSIONS, MEMBERS, INVITATIONS)
    return {one.name: session.execute(select(func.count()).select_from(one)).scalar_one() for one in tables}
