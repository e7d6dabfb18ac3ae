"""Reading what a client sent, so that whatever it is ends in a model or in a named refusal, never in a surprise."""

import asyncio
from typing import Any

from aiohttp import hdrs, web
from aiohttp.http_exceptions import PayloadEncodingError
from pydantic import ValidationError

from web import problems
from web.problems import Fault
from web.routing import IDEMPOTENCY_KEY
from web.schemas.model import Body, Query

BODY_SECONDS = 30
KEY_CHARS_MAX = 255
JSON = "application/json"
ANYTHING = "*/*"


class Refused(Exception):
    """The request is refused before any handler sees it."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.code)
        self.fault = fault


async def raw_body(request: web.Request, *, limit: int) -> bytes:
    """The whole body. Raises Refused when it is larger than `limit`, broken, or too slow."""
    if (request.content_length or 0) > limit:
        raise Refused(problems.fault("PAYLOAD_TOO_LARGE", limit=limit))
    try:
        if request.content.is_eof():  # Small bodies have arrived with their headers.
            raw = await request.read()
        else:
            async with asyncio.timeout(BODY_SECONDS):
                raw = await request.read()
    except TimeoutError as error:
        raise Refused(problems.fault("REQUEST_TIMEOUT")) from error
    except (PayloadEncodingError, web.RequestPayloadError, ConnectionError) as error:
        raise Refused(problems.of_field("body", "body_broken")) from error
    if len(raw) > limit:
        raise Refused(problems.fault("PAYLOAD_TOO_LARGE", limit=limit))
    return raw


async def json_body(request: web.Request, model: type[Body], *, limit: int, optional: bool) -> Body:
    """The body as an instance of `model`; nothing at all counts as {} where it is optional. Raises Refused."""
    raw = await raw_body(request, limit=limit)
    if raw and request.headers.get(hdrs.CONTENT_TYPE) != JSON:  # Many clients announce bodies that they don't send.
        require_media_type(request, JSON)
    try:
        return model.model_validate_json(raw or b"{}" if optional else raw)
    except ValidationError as error:
        raise Refused(problems.of_validation(error)) from error


async def no_body(request: web.Request) -> None:
    """Accept nothing, or the empty object that some clients always send. Raises Refused."""
    await json_body(request, Body, limit=1024, optional=True)


async def announced(request: web.Request, media_type: str, *, limit: int) -> None:
    """A body that the handler reads itself: only its announcement is looked at. Raises Refused."""
    if media_type != ANYTHING:
        require_media_type(request, media_type)
    if (request.content_length or 0) > limit:
        raise Refused(problems.fault("PAYLOAD_TOO_LARGE", limit=limit))


def require_media_type(request: web.Request, wanted: str) -> None:
    """Raises Refused unless the body says that it is `wanted`, in UTF-8 where that is JSON."""
    charset = request.charset or "utf-8"
    if request.content_type != wanted or (wanted == JSON and charset.lower() not in {"utf-8", "utf8"}):
        raise Refused(problems.fault("UNSUPPORTED_MEDIA"))


def query(request: web.Request, model: type[Query]) -> Query:
    """The query string as an instance of `model`. Raises Refused, also for a parameter given twice."""
    given = request.rel_url.query
    values: dict[str, Any] = dict(given)
    if len(values) != len(given):
        twice = next(name for name in values if len(given.getall(name)) > 1)
        raise Refused(problems.of_field(twice, "duplicate"))
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise Refused(problems.of_validation(error)) from error


def idempotency_key(request: web.Request) -> None:
    """Raises Refused when there is an Idempotency-Key that can't be kept."""
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is not None and not (0 < len(key) <= KEY_CHARS_MAX and key.isascii() and key.isprintable()):
        raise Refused(problems.of_field("Idempotency-Key", "header"))
