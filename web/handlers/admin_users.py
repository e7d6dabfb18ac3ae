"""Administrators look after users: roles, access, credits. Every change is logged with its reason."""

from functools import partial
from typing import Any

from aiohttp import hdrs

from atelier.accounts.sessions import Origin
from atelier.administration import people
from atelier.administration.people import Act
from atelier.generation.events import credits_changed
from atelier.kernel.errors import Invalid
from atelier.kernel.ids import new_id
from web.live.service import LIVE
from web.routing import Call, Endpoint, Reply
from web.schemas.admin_users import (
    AdjustBody,
    AdjustedAnswer,
    PeopleAnswer,
    PersonAnswer,
    ReasonBody,
    RoleBody,
    UsersQuery,
)

REPLAYED = {"Idempotency-Replayed": "true"}


async def list_users(call: Call) -> PeopleAnswer:
    """A page of users."""
    query: UsersQuery = call.query
    found, total = await call.services.db.read(people.page, wanted=query.wanted, offset=query.offset, limit=query.limit)
    return PeopleAnswer.of(found, total=total, query=query)


async def read_user(call: Call) -> PersonAnswer:
    """One user."""
    return PersonAnswer.of(await call.services.db.read(people.one, user_id=call.path["userId"]))


async def change_role(call: Call) -> PersonAnswer:
    """Another role, from the next request on."""
    body: RoleBody = call.body
    return await _changed(call, people.change_role, reason=body.reason, role=body.role)


async def disable(call: Call) -> PersonAnswer:
    """No token, socket or stream of the user lives on."""
    body: ReasonBody = call.body
    return await _changed(call, people.set_active, reason=body.reason, active=False)


async def enable(call: Call) -> PersonAnswer:
    """The user may sign in again."""
    body: ReasonBody = call.body
    return await _changed(call, people.set_active, reason=body.reason, active=True)


async def adjust_credits(call: Call) -> Reply:
    """Give or take credits."""
    body: AdjustBody = call.body
    if body.amount == 0:
        raise Invalid([{"path": ["amount"], "message": "not 0", "code": "zero"}])
    user_id = call.path["userId"]
    answer, account = await call.services.db.transact(
        people.adjust_credits,
        act=_act(call, body.reason),
        amount=body.amount,
        keyed=call.keyed,
        now_ms=call.now_ms,
    )
    if account:
        call.request.app[LIVE].tell([(user_id, credits_changed(account))])
    return Reply(AdjustedAnswer.model_validate(answer), headers=None if account else REPLAYED)


async def _changed(call: Call, change: Any, *, reason: str, **to: Any) -> PersonAnswer:
    person = await call.services.db.transact(change, act=_act(call, reason), **to, now_ms=call.now_ms)
    call.services.identities.forget(user_id=person.id)
    return PersonAnswer.of(person)


def _act(call: Call, reason: str) -> Act:
    return Act(
        admin_id=call.user.user_id,
        user_id=call.path["userId"],
        reason=reason,
        origin=Origin.of(address=call.address, user_agent=call.request.headers.get(hdrs.USER_AGENT)),
        act_id=new_id(),
        notice_id=new_id(),
    )


_admin = partial(Endpoint, tag="admin", auth="admin", cache="no-store")
_change = partial(_admin, method="POST", answer=PersonAnswer, errors=("NOT_FOUND", "OWN_ACCOUNT"))

ENDPOINTS = (
    _admin(
        method="GET",
        path="/api/admin/users",
        handler=list_users,
        summary=("用户列表", "List users"),
        query=UsersQuery,
        answer=PeopleAnswer,
    ),
    _admin(
        method="GET",
        path="/api/admin/users/{userId}",
        handler=read_user,
        summary=("查看用户", "Read a user"),
        answer=PersonAnswer,
        errors=("NOT_FOUND",),
    ),
    _change(
        path="/api/admin/users/{userId}/role",
        handler=change_role,
        summary=("修改用户角色", "Change a user's role"),
        body=RoleBody,
    ),
    _change(
        path="/api/admin/users/{userId}/disable",
        handler=disable,
        summary=("停用用户", "Disable a user"),
        body=ReasonBody,
    ),
    _change(
        path="/api/admin/users/{userId}/enable",
        handler=enable,
        summary=("启用用户", "Enable a user"),
        body=ReasonBody,
    ),
    _admin(
        method="POST",
        path="/api/admin/users/{userId}/credits",
        handler=adjust_credits,
        summary=("调整积分", "Adjust a user's credits"),
        body=AdjustBody,
        answer=AdjustedAnswer,
        errors=("NOT_FOUND", "INSUFFICIENT_CREDITS"),
        idempotent=True,
    ),
)
