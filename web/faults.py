"""From whatever a handler raised to the answer that says so."""

import logging

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from atelier.kernel import logs
from atelier.kernel.errors import AtelierError
from web import problems
from web.problems import Fault
from web.reading import Refused
from web.routing import Call

log = logs.get(__name__)

# What aiohttp itself refuses while a handler reads, by status.
OWN_REFUSALS = {400: "VALIDATION_FAILED", 404: "NOT_FOUND", 413: "PAYLOAD_TOO_LARGE", 415: "UNSUPPORTED_MEDIA"}


def answer(error: Exception, call: Call) -> web.Response:
    """The problem that `error` is for this reader. What nobody anticipated is logged, and told as INTERNAL."""
    fault = _fault(error, call)
    headers = call.headers()
    headers[hdrs.CONTENT_TYPE] = problems.CONTENT_TYPE
    headers[hdrs.CONTENT_LANGUAGE] = locale = call.locale
    headers[hdrs.CACHE_CONTROL] = "no-store"
    headers.update(fault.headers)
    body = problems.render(fault, request_id=call.request_id, locale=locale)
    return web.Response(body=body, status=fault.status, headers=headers)


def _fault(error: Exception, call: Call) -> Fault:
    if isinstance(error, Refused):
        return error.fault
    if isinstance(error, AtelierError):
        fault = problems.of_error(error, statuses=call.frame.endpoint.statuses)
        if fault.status >= 500:
            log.warning("http.unavailable", code=fault.code, error=type(error).__name__, reason=str(error))
        return fault
    if isinstance(error, web.HTTPException) and error.status in OWN_REFUSALS:
        return problems.fault(OWN_REFUSALS[error.status])
    endpoint = call.frame.endpoint
    log.error("http.failed", method=endpoint.method, route=endpoint.path, exc_info=error)
    return problems.fault("INTERNAL")


def worth_logging(record: logging.LogRecord) -> bool:
    """A filter for aiohttp's own log: what a client sent wrong, down to broken HTTP, is no error of this server."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | web.RequestPayloadError)
