"""How a call goes wrong on its way: before anything is done, and after it."""

import asyncio
from typing import Final

from aiohttp import web

from sandbox.faults import Taken

_PROXY: Final = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>\n"
_FOR_EVER_SECONDS: Final = 3_600.0


async def before(request: web.Request, faults: Taken) -> web.Response | None:
    """The answer of something in between, or none at all; None when the call gets through."""
    if "http" in faults:
        status = int(faults.option("http", "status", 502))
        return web.Response(status=status, text=_PROXY.format(status), content_type="text/html")
    if "hang" in faults:
        await asyncio.sleep(float(faults.option("hang", "seconds", _FOR_EVER_SECONDS)))
        return _hung_up(request)
    return None


async def after(request: web.Request, faults: Taken, response: web.Response) -> web.Response:
    """The answer as it arrives, or doesn't."""
    if "late" in faults:
        await asyncio.sleep(float(faults.option("late", "seconds", 1.0)))
    return _hung_up(request) if "lost" in faults else response


def _hung_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.close()
    return web.Response()
