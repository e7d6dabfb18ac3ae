"""Endpoints of outgoing webhooks, their secrets and their pings."""

from dataclasses import asdict
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from atelier.contracts import idempotency
from atelier.contracts.idempotency import Keyed
from atelier.correspondence import webhook_secrets
from atelier.kernel import tokens
from atelier.kernel.ids import new_id
from atelier.webhooks import by_hand, endpoints, keeping, signing
from atelier.webhooks.endpoints import Changes, NewWebhook, Webhook
from atelier.webhooks.errors import SecretUnreadable
from atelier.webhooks.keeping import Drop
from atelier.webhooks.signing import Sealed
from web import callbacks
from web.routing import REPLAYED, Call, Endpoint, Reply
from web.schemas.auth import DoneAnswer
from web.schemas.model import PageQuery
from web.schemas.webhook_endpoints import (
    CreatedWebhookAnswer,
    RotatedAnswer,
    RotateQuery,
    WebhookAnswer,
    WebhookBody,
    WebhookChangeBody,
    WebhooksAnswer,
)
from web.schemas.webhook_events import WebhookEventAnswer
from web.submissions import SUBMISSIONS

Json = dict[str, Any]


async def list_webhooks(call: Call) -> WebhooksAnswer:
    """The caller's endpoints."""
    query: PageQuery = call.query
    found, total = await call.services.db.read(
        endpoints.page, user_id=call.user.user_id, offset=query.offset, limit=query.limit
    )
    return WebhooksAnswer.of(found, total=total, query=query)


async def create(call: Call) -> Reply:
    """Add an endpoint. Its secret is shown once, here; whoever loses it asks for another one."""
    body: WebhookBody = call.body
    new = NewWebhook(
        id=new_id(),
        user_id=call.user.user_id,
        url=callbacks.checked(call, body.url),
        events=body.events or (),
        description=body.description,
        enabled=body.enabled,
    )
    sealed = _fresh(call)
    stored, replayed = await call.services.db.transact(
        _create,
        new,
        sealed=sealed,
        endpoints_max=call.services.settings.webhooks_max,
        keyed=call.keyed,
        now_ms=call.now_ms,
    )
    members: Json = {**stored["webhook"], "events": tuple(stored["webhook"]["events"])}
    made = Webhook(**members)
    secret = await _secret(call, owner_id=made.id, mark=stored["mark"])
    return Reply(CreatedWebhookAnswer.of(made, secret=secret), status=201, headers=REPLAYED if replayed else None)


async def read(call: Call) -> WebhookAnswer:
    """One endpoint."""
    found = await call.services.db.read(endpoints.own, webhook_id=call.path["webhookId"], user_id=call.user.user_id)
    return WebhookAnswer.of(found)


async def change(call: Call) -> WebhookAnswer:
    """Change an endpoint, or turn it off or on again."""
    body: WebhookChangeBody = call.body
    changes = Changes(
        url=None if body.url is None else callbacks.checked(call, body.url),
        events=body.events,
        description=body.description,
        enabled=body.enabled,
    )
    changed = await call.services.db.transact(
        endpoints.change,
        webhook_id=call.path["webhookId"],
        user_id=call.user.user_id,
        changes=changes,
        now_ms=call.now_ms,
    )
    return WebhookAnswer.of(changed)


async def remove(call: Call) -> DoneAnswer:
    """Delete an endpoint; what waited for it is given up, what was told stays in the log for its time."""
    await call.services.db.transact(
        endpoints.remove, webhook_id=call.path["webhookId"], user_id=call.user.user_id, now_ms=call.now_ms
    )
    return DoneAnswer()


async def rotate(call: Call) -> Reply:
    """Give an endpoint a new secret; for 24 hours the old one signs beside it, unless it is to be dropped."""
    return await _rotated(call, webhook_id=call.path["webhookId"])


async def rotate_for_jobs(call: Call) -> Reply:
    """Give the caller a new secret for webhooks of single jobs, as `rotate` does for an endpoint."""
    return await _rotated(call, webhook_id=None)


async def ping(call: Call) -> WebhookEventAnswer:
    """Have a test event sent to an endpoint now; how it went stands in the event."""
    event = await call.services.db.transact(
        by_hand.ping,
        webhook_id=call.path["webhookId"],
        user_id=call.user.user_id,
        event_id=new_id(),
        now_ms=call.now_ms,
    )
    call.request.app[SUBMISSIONS].wake()
    return WebhookEventAnswer.of(event)


def _fresh(call: Call) -> Sealed:
    return signing.seal(call.services.settings.keyring, signing.new_secret())


def _mark(sealed: Sealed) -> str:
    return tokens.digest(sealed.text)


def _create(
    session: Session, new: NewWebhook, *, sealed: Sealed, endpoints_max: int, keyed: Keyed | None, now_ms: int
) -> tuple[Json, bool]:
    if stored := idempotency.find(session, keyed):
        return dict(stored.answer), True
    made = endpoints.create(session, new, sealed=sealed, endpoints_max=endpoints_max, now_ms=now_ms)
    # A stored answer is no place for a secret: it is read again from where it is sealed.
    answer = {"webhook": asdict(made), "mark": _mark(sealed)}
    idempotency.store(session, keyed, status=201, answer=answer, now_ms=now_ms)
    return answer, False


def _rotate(
    session: Session,
    *,
    webhook_id: str | None,
    user_id: str,
    fresh: Sealed,
    drop: Drop | None,
    keyed: Keyed | None,
    now_ms: int,
) -> tuple[Json, bool]:
    if stored := idempotency.find(session, keyed):
        return dict(stored.answer), True
    if webhook_id is None:
        until_ms = keeping.rotate(session, owner_id=user_id, user_id=user_id, fresh=fresh, now_ms=now_ms, drop=drop)
    else:
        until_ms = webhook_secrets.rotate(
            session, webhook_id=webhook_id, user_id=user_id, fresh=fresh, now_ms=now_ms, drop=drop
        )
    answer = {"until": until_ms, "mark": _mark(fresh)}
    idempotency.store(session, keyed, status=200, answer=answer, now_ms=now_ms)
    return answer, False


async def _rotated(call: Call, *, webhook_id: str | None) -> Reply:
    query: RotateQuery = call.query
    user_id = call.user.user_id
    stored, replayed = await call.services.db.transact(
        _rotate,
        webhook_id=webhook_id,
        user_id=user_id,
        fresh=_fresh(call),
        drop=query.drop,
        keyed=call.keyed,
        now_ms=call.now_ms,
    )
    secret = await _secret(call, owner_id=webhook_id or user_id, mark=stored["mark"])
    answer = RotatedAnswer(secret=secret, previous_valid_until=stored["until"])
    return Reply(answer, headers=REPLAYED if replayed else None)


async def _secret(call: Call, *, owner_id: str, mark: str) -> str | None:
    """The secret that was made when an answer was, unless there is another one by now."""
    kept = await call.services.db.read(keeping.find, owner_id=owner_id)
    if kept is None or _mark(kept.current) != mark:
        return None
    try:
        return signing.opened(call.services.settings.keyring, kept.current)
    except SecretUnreadable:
        return None


_webhook = partial(Endpoint, tag="webhooks", cache="no-store")
_one = partial(_webhook, path="/api/webhooks/{webhookId}", errors=("WEBHOOK_NOT_FOUND",))

ENDPOINTS = (
    _webhook(
        method="GET",
        path="/api/webhooks",
        handler=list_webhooks,
        summary=("Webhook 列表", "Webhooks"),
        query=PageQuery,
        answer=WebhooksAnswer,
    ),
    _webhook(
        method="POST",
        path="/api/webhooks",
        handler=create,
        summary=("新建 Webhook", "Add a webhook"),
        body=WebhookBody,
        answer=CreatedWebhookAnswer,
        status=201,
        errors=("WEBHOOK_LIMIT",),
        idempotent=True,
    ),
    _webhook(
        method="POST",
        path="/api/webhooks/jobs/rotate",
        handler=rotate_for_jobs,
        summary=("更换任务 Webhook 的密钥", "Change the secret for webhooks of single jobs"),
        query=RotateQuery,
        answer=RotatedAnswer,
        errors=("WEBHOOK_SECRETS_OVERLAP",),
        idempotent=True,
    ),
    _one(method="GET", handler=read, summary=("查看 Webhook", "Read a webhook"), answer=WebhookAnswer),
    _one(
        method="PATCH",
        handler=change,
        summary=("修改 Webhook", "Change a webhook"),
        body=WebhookChangeBody,
        answer=WebhookAnswer,
    ),
    _webhook(
        method="POST",
        path="/api/webhooks/{webhookId}/rotate",
        handler=rotate,
        summary=("更换 Webhook 密钥", "Change a webhook's secret"),
        query=RotateQuery,
        answer=RotatedAnswer,
        errors=("WEBHOOK_NOT_FOUND", "WEBHOOK_SECRETS_OVERLAP"),
        idempotent=True,
    ),
    _webhook(
        method="POST",
        path="/api/webhooks/{webhookId}/ping",
        handler=ping,
        summary=("发送测试事件", "Send a test event"),
        answer=WebhookEventAnswer,
        status=202,
        errors=("WEBHOOK_NOT_FOUND", "WEBHOOK_DISABLED", "TOO_MANY_WEBHOOK_EVENTS"),
    ),
    _one(method="DELETE", handler=remove, summary=("删除 Webhook", "Delete a webhook"), answer=DoneAnswer),
)
