"""Inviting people to a project, and what they answer.

The owner names someone by e-mail address or by username. A username is public, so that nobody has it is told. An e-mail
address is not: the owner gets the same answer whether or not anybody has it, sees the invitation among the open ones as
they wrote it, and learns whom it found only when it is accepted.
"""

from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from atelier.collaboration import people, projects
from atelier.collaboration.people import Person
from atelier.collaboration.projects import Shown
from atelier.notifications import service as notifications
from atelier.notifications.service import Notice
from atelier.workshop import access, members
from atelier.workshop.access import Project
from atelier.workshop.members import Invitation, NewInvitation


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Whom the owner invites: by one of the two. The ids are made by the caller, so that running twice asks once."""

    invitation_id: str
    notice_id: str
    project_id: str
    owner_id: str
    email: str | None
    username: str | None
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Collaborator:
    """Someone who works on a project with its owner."""

    person: Person
    role: str
    joined_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """Who works on a project; `invitations` are for the owner's eyes, None for the others."""

    owner: Person
    collaborators: list[Collaborator]
    invitations: list[Invitation] | None


def invite(session: Session, asked: Asked, *, members_max: int, now_ms: int) -> None:
    """Invite, and tell the invited if there is someone to tell. Raises as `members.invite`, Invalid, UserNotFound."""
    # Who may not invite learns nothing of who exists.
    access.find(session, project_id=asked.project_id, user_id=asked.owner_id, need="own")
    if asked.username is not None:
        address = people.by_username(session, username=asked.username)
    else:
        address = people.by_email(session, email=asked.email or "")
    new = NewInvitation(
        id=asked.invitation_id,
        project_id=asked.project_id,
        owner_id=asked.owner_id,
        address=address.key,
        invitee_id=address.user_id,
        role=asked.role,
        told=asked.username is not None,
    )
    project, is_new = members.invite(session, new, members_max=members_max, now_ms=now_ms)
    if is_new and address.user_id is not None:
        inviter = people.of_ids(session, [project.owner_id])[project.owner_id].display_name
        data = {"inviter": inviter, "role": asked.role, "projectTitle": project.title}
        notice = Notice(id=asked.notice_id, user_id=address.user_id, kind="project_invitation", data=data)
        _tell(session, notice, project, now_ms=now_ms)


def accept(session: Session, *, project_id: str, user_id: str, notice_id: str, now_ms: int) -> Shown:
    """Join the project, and let its owner know; doing it twice is doing it once. Raises InvitationNotFound."""
    project, is_new = members.accept(session, project_id=project_id, user_id=user_id, now_ms=now_ms)
    if is_new:
        invitee = people.of_ids(session, [user_id])[user_id].display_name
        data = {"invitee": invitee, "projectTitle": project.title}
        notice = Notice(id=notice_id, user_id=project.owner_id, kind="invitation_accepted", data=data)
        _tell(session, notice, project, now_ms=now_ms)
    return projects.one(session, project_id=project_id, user_id=user_id)


def team(session: Session, *, project_id: str, user_id: str, now_ms: int) -> Team:
    """Who works on the project. Raises as `access.find`: it is for those who do."""
    project = access.find(session, project_id=project_id, user_id=user_id, need="belong")
    found = members.members(session, project_id=project_id)
    known = people.of_ids(session, [project.owner_id, *(one.user_id for one in found)])
    invited = members.invitations(session, project_id=project_id, now_ms=now_ms) if project.role == "owner" else None
    return Team(
        owner=known[project.owner_id],
        collaborators=[
            Collaborator(person=known[one.user_id], role=one.role, joined_ms=one.joined_ms) for one in found
        ],
        invitations=invited,
    )


def _tell(session: Session, notice: Notice, project: Project, *, now_ms: int) -> None:
    notifications.notify(session, replace(notice, ref_type="project", ref_id=project.id), now_ms=now_ms)
