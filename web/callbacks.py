"""Addresses that users have us call: judged as far as they can be before anybody is called."""

from collections.abc import Sequence

from atelier.callouts import targets
from atelier.callouts.targets import BadTarget
from atelier.kernel.errors import Invalid
from atelier.webhooks.events import NewJobWebhook
from web.routing import Call
from web.schemas.webhook_endpoints import JobWebhook


def checked(call: Call, url: str, *, path: Sequence[str] = ("url",)) -> str:
    """The address in its plain form. Raises Invalid, which says what is wrong with it."""
    try:
        return targets.target(url, loopback=call.services.settings.webhook_loopback)
    except BadTarget as error:
        raise Invalid([{"path": [*path], "message": error.reason, "code": error.reason}]) from None


def of_job(call: Call, wanted: JobWebhook | None, *, job_id: str) -> NewJobWebhook | None:
    """Who is to hear of a new job. Raises Invalid."""
    if wanted is None:
        return None
    url = checked(call, wanted.url, path=("webhook", "url"))
    return NewJobWebhook(job_id=job_id, user_id=call.user.user_id, url=url, events=wanted.events or ())
