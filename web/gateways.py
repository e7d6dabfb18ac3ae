"""The payment gateways of a web process, where handlers find them."""

import asyncio
from collections.abc import AsyncIterator, Mapping

from aiohttp import web

from atelier.gateways import choose
from atelier.gateways.port import Gateway
from atelier.kernel.settings import Settings

GATEWAYS: web.AppKey[Mapping[str, Gateway]] = web.AppKey("gateways")


def install(application: web.Application, settings: Settings, *, gateways: Mapping[str, Gateway] | None) -> None:
    """Make them a part of the application: those of the settings, unless a test brings others."""
    application[GATEWAYS] = found = choose.gateways_of(settings) if gateways is None else gateways

    async def serve(_application: web.Application) -> AsyncIterator[None]:
        yield
        for gateway in found.values():
            await asyncio.to_thread(gateway.close_connections)

    application.cleanup_ctx.append(serve)
