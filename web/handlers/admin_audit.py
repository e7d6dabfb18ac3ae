"""Who did what: the operation log, and beside it what clients told."""

from functools import partial

from atelier.administration import audit
from web.routing import Call, Endpoint
from web.schemas.admin_audit import (
    AuditAnswer,
    AuditQuery,
    ClientLogsAnswer,
    ClientLogsQuery,
    RecordAnswer,
    ToldAnswer,
)


async def list_operations(call: Call) -> AuditAnswer:
    """The operation log."""
    query: AuditQuery = call.query
    found = await call.services.db.read(audit.operations, wanted=query.wanted, limit=query.rows)
    last = str(found[-1].id) if len(found) == query.rows else None
    return AuditAnswer(operations=[RecordAnswer.of(one) for one in found], next_cursor=last)


async def list_client_logs(call: Call) -> ClientLogsAnswer:
    """What clients told."""
    query: ClientLogsQuery = call.query
    found = await call.services.db.read(audit.client_logs, user_id=query.user_id, before=query.cursor, limit=query.rows)
    last = found[-1].id if len(found) == query.rows else None
    return ClientLogsAnswer(logs=[ToldAnswer.of(one) for one in found], next_cursor=last)


_admin = partial(Endpoint, method="GET", tag="admin", auth="admin", cache="no-store")

ENDPOINTS = (
    _admin(
        path="/api/admin/audit",
        handler=list_operations,
        summary=("操作日志", "Operation log"),
        query=AuditQuery,
        answer=AuditAnswer,
    ),
    _admin(
        path="/api/admin/client-logs",
        handler=list_client_logs,
        summary=("客户端日志", "Client logs"),
        query=ClientLogsQuery,
        answer=ClientLogsAnswer,
    ),
)
