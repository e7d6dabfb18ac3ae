"""Working on a project together: invitations, their answers, and who belongs to it."""

from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from atelier.collaboration import inviting
from atelier.collaboration.inviting import Asked
from atelier.contracts import idempotency
from atelier.contracts.idempotency import Keyed
from atelier.kernel.ids import new_id
from atelier.workshop import members
from web.handlers.projects import links
from web.routing import REPLAYED, Call, Endpoint, Reply
from web.schemas.auth import DoneAnswer
from web.schemas.project_members import CollaborateBody, InvitedAnswer, TeamAnswer
from web.schemas.projects import ProjectAnswer


async def invite(call: Call) -> Reply:
    """Invite someone, who is told and joins by accepting. Whether an e-mail address has an account is not told."""
    body: CollaborateBody = call.body
    asked = Asked(
        invitation_id=new_id(),
        notice_id=new_id(),
        project_id=call.path["projectId"],
        owner_id=call.user.user_id,
        email=body.email,
        username=body.username,
        role=body.role,
    )
    members_max = call.services.settings.project_members_max
    answer, is_new = await call.services.db.transact(
        _invite, asked=asked, members_max=members_max, keyed=call.keyed, now_ms=call.now_ms
    )
    return Reply(InvitedAnswer.model_validate(answer), status=202, headers=None if is_new else REPLAYED)


async def read_team(call: Call) -> TeamAnswer:
    """Who works on the project, for those who do; its owner also sees whom they have invited."""
    team = await call.services.db.read(
        inviting.team, project_id=call.path["projectId"], user_id=call.user.user_id, now_ms=call.now_ms
    )
    return TeamAnswer.of(team)


async def accept(call: Call) -> ProjectAnswer:
    """Join the project that one was invited to."""
    shown = await call.services.db.transact(
        inviting.accept,
        project_id=call.path["projectId"],
        user_id=call.user.user_id,
        notice_id=new_id(),
        now_ms=call.now_ms,
    )
    return ProjectAnswer.of(shown, link=links(call))


async def decline(call: Call) -> DoneAnswer:
    """Decline an invitation. Nobody is told."""
    await call.services.db.transact(
        members.decline, project_id=call.path["projectId"], user_id=call.user.user_id, now_ms=call.now_ms
    )
    return DoneAnswer()


async def remove(call: Call) -> DoneAnswer:
    """The owner lets someone go, or someone leaves. What they made stays."""
    await call.services.db.transact(
        members.remove,
        project_id=call.path["projectId"],
        actor_id=call.user.user_id,
        user_id=call.path["userId"],
    )
    return DoneAnswer()


async def withdraw(call: Call) -> DoneAnswer:
    """Take an invitation back that has not been accepted."""
    await call.services.db.transact(
        members.withdraw,
        project_id=call.path["projectId"],
        owner_id=call.user.user_id,
        invitation_id=call.path["invitationId"],
        now_ms=call.now_ms,
    )
    return DoneAnswer()


def _invite(session: Session, *, asked: Asked, members_max: int, keyed: Keyed | None, now_ms: int) -> tuple[Any, bool]:
    if stored := idempotency.find(session, keyed):
        return stored.answer, False
    inviting.invite(session, asked, members_max=members_max, now_ms=now_ms)
    answer = InvitedAnswer().model_dump(mode="json")
    idempotency.store(session, keyed, status=202, answer=answer, now_ms=now_ms)
    return answer, True


PATH = "/api/workshop/projects/{projectId}/collaborate"
_team = partial(Endpoint, tag="workshop", cache="no-store")
_answered = partial(_team, method="POST", errors=("NOT_FOUND",))
_deleted = partial(_team, method="DELETE", answer=DoneAnswer, errors=("PROJECT_NOT_FOUND", "NOT_FOUND"))

ENDPOINTS = (
    _team(
        method="GET",
        path=PATH,
        handler=read_team,
        summary=("项目成员", "List collaborators"),
        answer=TeamAnswer,
        errors=("PROJECT_NOT_FOUND",),
    ),
    _team(
        method="POST",
        path=PATH,
        handler=invite,
        summary=("邀请成员", "Invite a collaborator"),
        body=CollaborateBody,
        answer=InvitedAnswer,
        status=202,
        errors=("PROJECT_NOT_FOUND", "NOT_FOUND", "PROJECT_PRIVATE", "ALREADY_MEMBER", "MEMBER_LIMIT"),
        idempotent=True,
    ),
    _answered(
        path=f"{PATH}/accept", handler=accept, summary=("接受邀请", "Accept an invitation"), answer=ProjectAnswer
    ),
    _answered(
        path=f"{PATH}/decline",
        handler=decline,
        summary=("拒绝邀请", "Decline an invitation"),
        answer=DoneAnswer,
        errors=("NOT_FOUND", "ALREADY_MEMBER"),
    ),
    _deleted(path=f"{PATH}/{{userId}}", handler=remove, summary=("移除成员或退出", "Remove a collaborator, or leave")),
    _deleted(
        path=f"{PATH}/invitations/{{invitationId}}",
        handler=withdraw,
        summary=("撤回邀请", "Withdraw an invitation"),
    ),
)
