"""Who works on a project with its owner, and who is invited to.

An invitation is kept until it expires, whatever becomes of it. So nobody is told of it twice, however often it is
withdrawn and made again, and its owner does not learn by it whether an e-mail address has an account, nor that someone
has declined: only who accepts is named. Rows are changed by whoever holds the project's row.
"""

from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from atelier.kernel.clock import DAY_MS
from atelier.kernel.database import matched
from atelier.kernel.errors import Forbidden, NotFound
from atelier.workshop import access
from atelier.workshop.access import Project
from atelier.workshop.errors import AlreadyMember, InvitationNotFound, ProjectNotFound, ProjectPrivate, TooManyMembers
from atelier.workshop.models import INVITATIONS, MEMBERS

OPEN_MS = 7 * DAY_MS
OPEN, DECLINED, WITHDRAWN = "open", "declined", "withdrawn"
EXPIRED_DELETED_MAX = 500
M, I = MEMBERS.c, INVITATIONS.c  # noqa: E741 - as the tables' names begin


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Someone who works on a project."""

    user_id: str
    role: str
    joined_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """An invitation as its owner sees it: what they wrote, and nothing of whom it found."""

    id: str
    address: str
    role: str
    created_ms: int
    expires_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInvitation:
    """`address` is what the owner wrote, folded; `invitee_id` whom it names, None for nobody.

    `told` says whether the owner may learn what the address names: a username is public, an e-mail address is not.
    """

    id: str
    project_id: str
    owner_id: str
    address: str
    invitee_id: str | None
    role: str
    told: bool


def invite(session: Session, new: NewInvitation, *, members_max: int, now_ms: int) -> tuple[Project, bool]:
    """Invite someone; the project, and whether they have to be told.

    Raises as `access.lock`, ProjectPrivate, AlreadyMember, TooManyMembers.
    """
    project = access.lock(session, project_id=new.project_id, user_id=new.owner_id, need="own")
    if project.visibility == "private":
        raise ProjectPrivate
    belongs = new.invitee_id == project.owner_id or _role(session, new.project_id, new.invitee_id) is not None
    if belongs and (new.told or new.invitee_id == project.owner_id):
        raise AlreadyMember
    _forget_expired(session, project_id=new.project_id, now_ms=now_ms)
    if _made_again(session, new):
        return project, False
    if _count(session, new.project_id) >= members_max:
        raise TooManyMembers(limit=members_max)
    user_id = None if belongs or not _is_free(session, new) else new.invitee_id
    row = {
        "id": new.id,
        "project_id": new.project_id,
        "address": new.address,
        "user_id": user_id,
        "role": new.role,
        "state": OPEN,
        "created_ms": now_ms,
        "expires_ms": now_ms + OPEN_MS,
    }
    session.connection().execute(insert(INVITATIONS), row)
    return project, user_id is not None


def accept(session: Session, *, project_id: str, user_id: str, now_ms: int) -> tuple[Project, bool]:
    """Join the project; the project as it is to its new member, and whether they joined just now.

    Raises InvitationNotFound.
    """
    project = _invited_to(session, project_id=project_id, user_id=user_id)
    if project.role:
        return project, False
    mine = (I.project_id == project_id, I.user_id == user_id)
    role = session.connection().scalar(select(I.role).where(*mine, I.state == OPEN, I.expires_ms > now_ms))
    if role is None:
        raise InvitationNotFound(project_id)
    joined = {"project_id": project_id, "user_id": user_id, "role": role, "joined_ms": now_ms}
    session.connection().execute(insert(MEMBERS), joined)
    session.connection().execute(delete(INVITATIONS).where(*mine))
    return access.find(session, project_id=project_id, user_id=user_id, need="belong"), True


def decline(session: Session, *, project_id: str, user_id: str, now_ms: int) -> None:
    """Decline the invitation; doing it twice is doing it once. Raises InvitationNotFound and AlreadyMember."""
    if _invited_to(session, project_id=project_id, user_id=user_id).role:
        raise AlreadyMember
    declined = (
        update(INVITATIONS)
        .where(I.project_id == project_id, I.user_id == user_id, I.state.in_((OPEN, DECLINED)), I.expires_ms > now_ms)
        .values(state=DECLINED)
    )
    if not matched(session, declined):
        raise InvitationNotFound(project_id)


def withdraw(session: Session, *, project_id: str, owner_id: str, invitation_id: str, now_ms: int) -> None:
    """Take an invitation back. Raises as `access.lock`, and InvitationNotFound."""
    access.lock(session, project_id=project_id, user_id=owner_id, need="own")
    withdrawn = (
        update(INVITATIONS)
        .where(I.id == invitation_id, I.project_id == project_id, I.state != WITHDRAWN, I.expires_ms > now_ms)
        .values(state=WITHDRAWN)
    )
    if not matched(session, withdrawn):
        raise InvitationNotFound(invitation_id)


def remove(session: Session, *, project_id: str, actor_id: str, user_id: str) -> None:
    """Let someone work on it no longer: the owner anyone, everyone themselves. What they made stays.

    Raises as `access.lock`, Forbidden, and NotFound for whoever doesn't work on it.
    """
    project = access.lock(session, project_id=project_id, user_id=actor_id, need="belong")
    if actor_id != user_id and project.role != "owner":
        raise Forbidden
    if not matched(session, delete(MEMBERS).where(M.project_id == project_id, M.user_id == user_id)):
        raise NotFound(user_id)


def members(session: Session, *, project_id: str) -> list[Member]:
    """Everyone who works on it but its owner, those first who came first."""
    rows = session.connection().execute(
        select(M.user_id, M.role, M.joined_ms).where(M.project_id == project_id).order_by(M.joined_ms, M.user_id)
    )
    return [Member(user_id=row.user_id, role=row.role, joined_ms=row.joined_ms) for row in rows]


def invitations(session: Session, *, project_id: str, now_ms: int) -> list[Invitation]:
    """Those that were made, not withdrawn, and neither accepted nor expired, as far as their owner knows."""
    rows = session.connection().execute(
        select(I.id, I.address, I.role, I.created_ms, I.expires_ms)
        .where(I.project_id == project_id, I.state != WITHDRAWN, I.expires_ms > now_ms)
        .order_by(I.id)
    )
    return [
        Invitation(id=row.id, address=row.address, role=row.role, created_ms=row.created_ms, expires_ms=row.expires_ms)
        for row in rows
    ]


def forget_expired(session: Session, *, now_ms: int) -> int:
    """Delete invitations that nobody can accept any longer, some of them; how many."""
    old = session.connection().scalars(select(I.id).where(I.expires_ms <= now_ms).limit(EXPIRED_DELETED_MAX)).all()
    session.connection().execute(delete(INVITATIONS).where(I.id.in_(old)))
    return len(old)


def _invited_to(session: Session, *, project_id: str, user_id: str) -> Project:
    """The locked project, for someone who may have been invited to it: a private one is there for its owner only."""
    try:
        project = access.lock(session, project_id=project_id, user_id=user_id, need=None)
    except ProjectNotFound as error:
        raise InvitationNotFound(project_id) from error
    if project.visibility == "private":
        raise InvitationNotFound(project_id)
    return project


def _made_again(session: Session, new: NewInvitation) -> bool:
    """Whether the address was invited already: then it is by this role, and its owner sees it (again) as open."""
    row = (
        session.connection()
        .execute(select(I.id, I.state).where(I.project_id == new.project_id, I.address == new.address))
        .one_or_none()
    )
    if row is None:
        return False
    # Who has declined is not asked again before the invitation would have expired.
    state = DECLINED if row.state == DECLINED else OPEN
    session.connection().execute(update(INVITATIONS).where(I.id == row.id).values(role=new.role, state=state))
    return True


def _is_free(session: Session, new: NewInvitation) -> bool:
    """Whether the invited has no other invitation to this project, which may have come by another address."""
    if new.invitee_id is None:
        return True
    other = (I.project_id == new.project_id, I.user_id == new.invitee_id)
    session.connection().execute(update(INVITATIONS).where(*other, I.state == WITHDRAWN).values(user_id=None))
    return session.connection().scalar(select(I.id).where(*other)) is None


def _forget_expired(session: Session, *, project_id: str, now_ms: int) -> None:
    session.connection().execute(delete(INVITATIONS).where(I.project_id == project_id, I.expires_ms <= now_ms))


def _count(session: Session, project_id: str) -> int:
    """Those who work on it, and all whom its owner has asked lately: the limit is also one on asking."""
    working = select(func.count()).where(M.project_id == project_id).scalar_subquery()
    asked = select(func.count()).where(I.project_id == project_id).scalar_subquery()
    return int(session.connection().execute(select(working + asked)).scalar_one())


def _role(session: Session, project_id: str, user_id: str | None) -> str | None:
    return access.member_roles(session, pairs=[(project_id, user_id)]).get((project_id, user_id)) if user_id else None
