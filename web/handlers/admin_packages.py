"""Administrators decide what is sold for money."""

from functools import partial
from typing import Any

from aiohttp import hdrs
from pydantic_core import to_json
from sqlalchemy.orm import Session

from atelier.accounts.sessions import Origin
from atelier.contracts import idempotency
from atelier.contracts.idempotency import Keyed
from atelier.kernel.ids import new_id
from atelier.orders import packages
from atelier.orders.packages import Terms
from atelier.payments import offering
from atelier.payments.offering import Act
from web.routing import REPLAYED, Call, Endpoint, Reply
from web.schemas.admin_users import ReasonBody
from web.schemas.auth import DoneAnswer
from web.schemas.packages import OfferedAnswer, OffersAnswer, PackageBody


async def list_packages(call: Call) -> OffersAnswer:
    """Every package, also those that are not sold any more."""
    found = await call.services.db.read(packages.listed, retired=True)
    return OffersAnswer(packages=[OfferedAnswer.of(one) for one in found])


async def create_package(call: Call) -> Reply:
    """Sell a new package."""
    body: PackageBody = call.body
    answer, is_new = await call.services.db.transact(
        _create, terms=body.terms, act=_act(call), package_id=new_id(), keyed=call.keyed, now_ms=call.now_ms
    )
    return Reply(raw=to_json(answer), status=201, headers=None if is_new else REPLAYED)


async def change_package(call: Call) -> OfferedAnswer:
    """Say anew what a package is; another price or other credits are a new version. Orders keep the one they had."""
    body: PackageBody = call.body
    changed = await call.services.db.transact(
        offering.change, body.terms, act=_act(call), package_id=call.path["packageId"], now_ms=call.now_ms
    )
    return OfferedAnswer.of(changed)


async def retire_package(call: Call) -> DoneAnswer:
    """Sell a package no more. Orders of it can still be paid."""
    await call.services.db.transact(
        offering.retire, act=_act(call), package_id=call.path["packageId"], now_ms=call.now_ms
    )
    return DoneAnswer()


def _create(
    session: Session, *, terms: Terms, act: Act, package_id: str, keyed: Keyed | None, now_ms: int
) -> tuple[Any, bool]:
    if stored := idempotency.find(session, keyed):
        return stored.answer, False
    made = offering.create(session, terms, act=act, package_id=package_id, now_ms=now_ms)
    answer = OfferedAnswer.of(made).model_dump(mode="json", by_alias=True)
    idempotency.store(session, keyed, status=201, answer=answer, now_ms=now_ms)
    return answer, True


def _act(call: Call) -> Act:
    body: ReasonBody = call.body
    origin = Origin.of(address=call.address, user_agent=call.request.headers.get(hdrs.USER_AGENT))
    return Act(admin_id=call.user.user_id, reason=body.reason, origin=origin)


_admin = partial(Endpoint, tag="admin", auth="admin", cache="no-store")

ENDPOINTS = (
    _admin(
        method="GET",
        path="/api/admin/packages",
        handler=list_packages,
        summary=("套餐列表", "List packages"),
        answer=OffersAnswer,
    ),
    _admin(
        method="POST",
        path="/api/admin/packages",
        handler=create_package,
        summary=("新增套餐", "Add a package"),
        body=PackageBody,
        answer=OfferedAnswer,
        status=201,
        idempotent=True,
    ),
    _admin(
        method="PUT",
        path="/api/admin/packages/{packageId}",
        handler=change_package,
        summary=("修改套餐", "Change a package"),
        body=PackageBody,
        answer=OfferedAnswer,
        errors=("PACKAGE_NOT_FOUND",),
    ),
    _admin(
        method="POST",
        path="/api/admin/packages/{packageId}/retire",
        handler=retire_package,
        summary=("下架套餐", "Retire a package"),
        body=ReasonBody,
        answer=DoneAnswer,
        errors=("PACKAGE_NOT_FOUND",),
    ),
)
