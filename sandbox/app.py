"""The sandbox as one application. Everything that it is made of is joined here."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from sandbox import alipay_methods, wechat_methods
from sandbox.alipay import Alipay
from sandbox.bills import Bills
from sandbox.books import Books
from sandbox.cashier import Cashier
from sandbox.clock import Clock
from sandbox.control import Control
from sandbox.faults import Faults
from sandbox.postman import Postman
from sandbox.signing import Keys, Writer
from sandbox.till import Till
from sandbox.wechat import WeChat

_BODY_BYTES_MAX = 1024 * 1024


def make_app(folder: Path, *, url: str) -> web.Application:
    """Both gateways, their cashier and their control, on the books of a folder. `url` is how everybody reaches it."""
    keys, books, clock, faults = Keys(folder), Books(folder), Clock(), Faults()
    bell, writer = asyncio.Event(), Writer(keys, clock=clock)
    till = Till(books, clock=clock, identity=lambda: keys.identity, changed=bell.set)
    postman = Postman(till, writer=writer, faults=faults, bell=bell)
    bills = Bills(books, clock=clock, identity=lambda: keys.identity)
    cashier = Cashier(till, keys=keys)
    alipay = Alipay(
        till, keys=keys, faults=faults, cashier=cashier, methods=alipay_methods.Methods(till, bills=bills, url=url)
    )
    wechat = WeChat(
        keys=keys,
        faults=faults,
        methods=wechat_methods.Methods(till, bills=bills, identity=lambda: keys.identity, url=url),
    )
    control = Control(till, own=keys, faults=faults, postman=postman, writer=writer)
    app = web.Application(client_max_size=_BODY_BYTES_MAX)
    for part in (alipay, wechat, cashier, control):
        app.add_routes(part.routes())
    app.add_routes([web.get("/health", _health)])

    async def delivering(_app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(postman.run(), name="postman")
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        books.close()

    app.cleanup_ctx.append(delivering)
    return app


async def _health(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})
