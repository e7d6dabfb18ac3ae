"""What jobs have made: described with signed links that hold for an hour or two, and sent to whoever has such a link.

A link needs no token, so that an `<img>` or a `<video>` can use it; its signature names job, output and end. Within an
hour a link stays the same, so that browsers keep what they have.
"""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from atelier.kernel import clock, tokens
from atelier.kernel.keyring import Keyring
from atelier.storage.port import Storage
from web import sending
from web.sending import Sending

PURPOSE = "job.output"
LINK_MS = clock.HOUR_MS
CACHE = "private, max-age=3600, immutable"

STORAGE: web.AppKey[Storage] = web.AppKey("storage")


def described(result: Mapping[str, Any], *, job_id: str, keyring: Keyring, now_ms: int) -> dict[str, Any]:
    """A job's stored result as its owner sees it: `{"outputs": [{type, contentType, text? | url?, …}]}`.

    What was metered also says what was paid for: `"usage": {credits, unit, quantity}`.
    """
    outputs: list[dict[str, Any]] = result["outputs"]
    links = (link(job_id, number, keyring=keyring, now_ms=now_ms) for number in range(len(outputs)))
    shown = {"outputs": [_described(one, at) for one, at in zip(outputs, links, strict=True)]}
    return shown | {"usage": result["usage"]} if "usage" in result else shown


def link(job_id: str, number: int, *, keyring: Keyring, now_ms: int) -> str:
    """A signed link to one output of a job."""
    expires_ms = (now_ms // LINK_MS + 2) * LINK_MS
    signature = tokens.derived(keyring.current, PURPOSE, _name(job_id, number, expires_ms))
    return f"/api/jobs/{job_id}/outputs/{number}?expires={expires_ms}&signature={signature}"


def is_signed(keyring: Keyring, *, job_id: str, number: int, expires_ms: int, signature: str) -> bool:
    """Whether we made this link."""
    return tokens.matches(keyring, PURPOSE, _name(job_id, number, expires_ms), signature)


async def send(
    request: web.Request, storage: Storage, output: Mapping[str, Any], *, name: str, link_seconds: int
) -> web.StreamResponse:
    """The output's bytes, or the way to them. Raises FileMissing or StorageUnavailable."""
    content_type: str = output["contentType"]
    disposition = f'{sending.verb(content_type)}; filename="{name}"'
    if "key" not in output:
        head = sending.headers(content_type, disposition=disposition, cache=CACHE)
        return web.Response(body=str(output["text"]).encode(), headers=head)
    one = Sending(
        key=output["key"],
        size=output["size"],
        content_type=content_type,
        disposition=disposition,
        cache=CACHE,
        link_seconds=link_seconds,
    )
    return await sending.send(request, storage, one)


def _described(output: Mapping[str, Any], link: str) -> dict[str, Any]:
    # Where the file is kept is nobody's business.
    shown = {name: value for name, value in output.items() if name != "key"}
    return shown if "text" in output else shown | {"url": link}


def _name(job_id: str, number: int, expires_ms: int) -> str:
    return f"{job_id}/{number}/{expires_ms}"
