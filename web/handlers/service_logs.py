"""Clients of the credits service tell what they did."""

from typing import Any

from pydantic_core import to_json
from sqlalchemy.orm import Session

from atelier.contracts import client_log, idempotency
from atelier.contracts.client_log import DETAILS_BYTES_MAX, ClientLog
from atelier.contracts.idempotency import Keyed
from atelier.kernel.errors import Forbidden, Invalid
from atelier.kernel.ids import new_id
from web.identity import Identity
from web.routing import Call, Endpoint, Reply
from web.schemas.service_logs import ClientLogAnswer, ClientLogBody

REPLAYED = {"Idempotency-Replayed": "true"}


async def create_log(call: Call) -> Reply:
    """Keep what a client tells about its own user. It is never mixed with what the platform records."""
    body: ClientLogBody = call.body
    _require_own(call.user, body.user_id)
    if len(to_json(body.details)) > DETAILS_BYTES_MAX:
        raise Invalid([{"path": ["details"], "message": "at most 16 kB", "code": "too_long"}])
    log = ClientLog(
        id=new_id(),
        user_id=call.user.user_id,
        action=body.action,
        details=body.details,
        success=body.success,
        claimed_ms=body.timestamp,
    )
    answer, fresh = await call.services.db.transact(append, log=log, keyed=call.keyed, now_ms=call.now_ms)
    return Reply(ClientLogAnswer.model_validate(answer), headers=None if fresh else REPLAYED)


def append(session: Session, *, log: ClientLog, keyed: Keyed | None, now_ms: int) -> tuple[dict[str, Any], bool]:
    """Keep the log and the answer; a repeated request gets the answer and False."""
    if stored := idempotency.find(session, keyed):
        return stored.answer, False
    client_log.append(session, log, now_ms=now_ms)
    answer = {"logId": f"log-{log.id}"}
    idempotency.store(session, keyed, status=200, answer=answer, now_ms=now_ms)
    return answer, True


def _require_own(user: Identity, named: str) -> None:
    if named.lower() != user.user_id and named.casefold() != user.email.casefold():
        raise Forbidden


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/logs/create",
        handler=create_log,
        summary=("写入客户端日志", "Keep a client's log"),
        tag="service",
        body=ClientLogBody,
        answer=ClientLogAnswer,
        errors=("FORBIDDEN",),
        idempotent=True,
    ),
)
