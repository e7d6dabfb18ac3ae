"""What providers tell of tasks that they finish later. Nothing of it is believed: it has the job looked at now.

Nobody signs in here. The address is known for ours by its token; where the provider signs, an unsigned call is as good
as none. However often it is sent, a job is only looked at.
"""

from atelier.generation import callbacks
from atelier.jobs import parking
from atelier.kernel.errors import NotFound
from atelier.providers.kling.callbacks import is_genuine
from web import reading
from web.routing import Call, Endpoint, Reply

BODY_MAX = 64 * 1024


async def receive(call: Call) -> Reply:
    """Have the job looked at. Raises NotFound for what is no address of ours, or not the provider's."""
    body = await reading.raw_body(call.request, limit=BODY_MAX)
    settings, provider = call.services.settings, call.path["name"]
    job_id = callbacks.job_of(settings.keyring, provider=provider, key=call.path["attemptKey"])
    secret = settings.kling_webhook_secret.get_secret_value() if provider == "kling" else ""
    if job_id is None or (secret and not is_genuine(secret, call.request.headers, body, now_ms=call.now_ms)):
        raise NotFound
    await call.services.db.transact(parking.wake, job_ids=[job_id])
    return Reply(status=204)


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/api/providers/{name}/callback/{attemptKey}",
        handler=receive,
        summary=("生成服务商的回调", "Callbacks of providers"),
        tag="jobs",
        auth="public",
        accepts="*/*",
        body_max=BODY_MAX,
        status=204,
        errors=("NOT_FOUND",),
        cache="no-store",
    ),
)
