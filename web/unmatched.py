"""Requests that no endpoint is for: 404, 405 with the methods that there are, and the questions of browsers."""

from aiohttp import hdrs, web
from typing_extensions import override

from atelier.kernel.errors import NotFound
from web import problems
from web.gate import Gate
from web.reading import Refused
from web.routing import Call, Endpoint

CATCH_ALL = "/{rest}"


async def _nobody(_call: Call) -> None:
    raise NotFound


UNMATCHED = Endpoint(
    method="GET",
    path="unmatched",
    handler=_nobody,
    summary=("未知路径", "Unknown path"),
    tag="",
    auth="public",
    cache="no-store",
)


class Nowhere(Gate):
    """The last route of the table, which takes whatever the others left."""

    @override
    async def _serve(self, call: Call, request: web.Request) -> web.StreamResponse:
        self._count(self._default, call)
        methods = await _methods(request)
        if not methods:
            raise NotFound
        if request.method == hdrs.METH_OPTIONS:
            return call.frame.origins.preflight(request, methods)
        allow = {"Allow": ", ".join(sorted(methods))}
        raise Refused(problems.fault("METHOD_NOT_ALLOWED").told(allow))


async def _methods(request: web.Request) -> set[str]:
    """The methods that the path of this request has."""
    found = set[str]()
    for resource in request.app.router.resources():
        if resource.canonical != CATCH_ALL:
            _, methods = await resource.resolve(request)
            found |= methods
    return found
