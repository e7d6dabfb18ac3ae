"""Administrators arrange the categories."""

from functools import partial
from typing import Any

from pydantic_core import to_json
from sqlalchemy.orm import Session

from atelier.catalog import categories
from atelier.contracts import idempotency
from atelier.contracts.idempotency import Keyed
from atelier.kernel.ids import new_id
from atelier.marketplace import shelving
from web.handlers.admin_agents import judge
from web.routing import REPLAYED, Call, Endpoint, Reply
from web.schemas.auth import DoneAnswer
from web.schemas.shelves import CategoryBody, CategoryMadeAnswer, ShelvesAnswer


async def list_categories(call: Call) -> ShelvesAnswer:
    """Every category, in both languages."""
    return ShelvesAnswer.of(await call.services.db.read(categories.listed))


async def create_category(call: Call) -> Reply:
    """Add a category."""
    body: CategoryBody = call.body
    answer, is_new = await call.services.db.transact(
        _create, judge=judge(call), category_id=new_id(), values=body.values, keyed=call.keyed, now_ms=call.now_ms
    )
    return Reply(raw=to_json(answer), status=201, headers=None if is_new else REPLAYED)


async def change_category(call: Call) -> DoneAnswer:
    """Say anew what a category is."""
    body: CategoryBody = call.body
    await call.services.db.transact(
        shelving.change,
        judge=judge(call),
        category_id=call.path["categoryId"],
        values=body.values,
        now_ms=call.now_ms,
    )
    return DoneAnswer()


async def delete_category(call: Call) -> DoneAnswer:
    """Delete a category that no agent is in."""
    await call.services.db.transact(
        shelving.remove, judge=judge(call), category_id=call.path["categoryId"], now_ms=call.now_ms
    )
    return DoneAnswer()


def _create(session: Session, /, *, category_id: str, keyed: Keyed | None, now_ms: int, **new: Any) -> tuple[Any, bool]:
    if stored := idempotency.find(session, keyed):
        return stored.answer, False
    shelving.create(session, category_id=category_id, now_ms=now_ms, **new)
    answer = CategoryMadeAnswer(id=category_id).model_dump(mode="json", by_alias=True)
    idempotency.store(session, keyed, status=201, answer=answer, now_ms=now_ms)
    return answer, True


_admin = partial(Endpoint, tag="admin", auth="admin", cache="no-store")
_one = partial(_admin, path="/api/admin/categories/{categoryId}", answer=DoneAnswer)

ENDPOINTS = (
    _admin(
        method="GET",
        path="/api/admin/categories",
        handler=list_categories,
        summary=("分类列表", "List categories"),
        answer=ShelvesAnswer,
    ),
    _admin(
        method="POST",
        path="/api/admin/categories",
        handler=create_category,
        summary=("新增分类", "Add a category"),
        body=CategoryBody,
        answer=CategoryMadeAnswer,
        status=201,
        errors=("CATEGORY_EXISTS",),
        idempotent=True,
    ),
    _one(
        method="PUT",
        handler=change_category,
        summary=("修改分类", "Change a category"),
        body=CategoryBody,
        errors=("CATEGORY_NOT_FOUND", "CATEGORY_EXISTS"),
    ),
    _one(
        method="DELETE",
        handler=delete_category,
        summary=("删除分类", "Delete a category"),
        errors=("CATEGORY_NOT_FOUND", "CATEGORY_IN_USE"),
    ),
)
