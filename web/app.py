"""The composition root of the web role: the only place where its parts are made and put together."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import ClassVar

from aiohttp import hdrs, web
from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.accounts.passwords import PasswordHasher
from atelier.contracts import queues
from atelier.dispatch import broker, depth
from atelier.gateways.port import Gateway
from atelier.generation import doctor, verdicts
from atelier.kernel.database import AsyncDatabase, Database
from atelier.kernel.errors import Transient
from atelier.kernel.settings import Settings
from atelier.onboarding.desk import Desk
from atelier.storage import stores
from atelier.storage.port import Storage
from web import background, checkout, multipart, openapi, outputs, routes, submissions, uploads, views, webhooks
from web import gateways as payment_gateways
from web.border import Border
from web.docs_page import PAGES, Pages
from web.gate import Gate, dress
from web.identity import Identities, from_database, keys_from_database
from web.key_uses import KeyUses
from web.limits import Limits, RedisCounters, open_redis
from web.live import service as live
from web.metrics import REQUESTS, Requests
from web.rates import Rates
from web.readiness import Check, Checks
from web.routing import BODY_MAX, Endpoint
from web.services import SERVICES, Services
from web.unmatched import UNMATCHED, Nowhere

AN_ID = re.compile(r"\{(\w+Id)\}")
Compose = Callable[[Settings], AbstractAsyncContextManager[Services]]


def make_app(
    settings: Settings,
    *,
    endpoints: Sequence[Endpoint] = routes.ENDPOINTS,
    compose: Compose | None = None,
    gateways: Mapping[str, Gateway] | None = None,
) -> web.Application:
    """The web application. Endpoints, services and gateways are the product's own unless a test brings others."""
    border, requests = Border(settings), Requests()
    gates = [Gate(endpoint, border=border, requests=requests) for endpoint in endpoints]
    nowhere = Nowhere(UNMATCHED, border=border, requests=requests)

    async def serve(application: web.Application) -> AsyncIterator[None]:
        async with (compose or composed)(settings) as services:
            application[SERVICES] = services
            for gate in (*gates, nowhere):
                gate.open(services)
            yield

    application = web.Application(client_max_size=_body_max(endpoints))
    application.on_response_prepare.append(dress)
    application.cleanup_ctx.append(serve)
    application[outputs.STORAGE] = storage = stores.choose(settings)
    uploads.install(application, uploads.Uploads(settings, storage))
    payment_gateways.install(application, settings, gateways=gateways)
    if compose is None:
        live.install(application)
        checkout.install(application)
        submissions.install(application)
        webhooks.install(application)
        views.install(application)
    application[REQUESTS] = requests
    application[PAGES] = Pages(
        lambda: openapi.build(endpoints, tags=routes.TAGS, server=settings.public_url, webhooks=routes.WEBHOOKS)
    )
    for gate in gates:
        _route(application, gate)
    application.router.add_route(hdrs.METH_ANY, r"/{rest:[\s\S]*}", nowhere.enter)  # Line ends may be in a path.
    return application


def _body_max(endpoints: Sequence[Endpoint]) -> int:
    """How much of a body may ever be in memory: forms with files go to the disk."""
    return max((one.body_max for one in endpoints if one.accepts != multipart.MEDIA_TYPE), default=BODY_MAX)


def _route(application: web.Application, gate: Gate) -> None:
    # An id must be able to be one: `PUT /api/agents/mine` is no agent called "mine", but a method that isn't there.
    path = AN_ID.sub(r"{\1:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}}", gate.endpoint.path)
    if gate.endpoint.method == "GET":
        application.router.add_get(path, gate.enter)  # Answers HEAD as well.
    else:
        application.router.add_route(gate.endpoint.method, path, gate.enter)


@asynccontextmanager
async def composed(settings: Settings) -> AsyncGenerator[Services]:
    """The product's own services, alive inside the block."""
    db = AsyncDatabase(Database(settings.database_url, pool_size=settings.database_pool))
    redis = open_redis(settings.redis_url)
    load, poll = from_database(db)
    identities = Identities(keyring=settings.keyring, load=load, poll=poll, load_key=keys_from_database(db))
    limits = Limits(rates(settings), store=RedisCounters(redis))
    key_uses = KeyUses(db)
    desk = Desk(db=db, passwords=PasswordHasher(), settings=settings)
    readiness = Checks(
        needed={
            "database": _database_check(db),
            "storage": _storage_check(stores.choose(settings)),
            "ledger": _ledger_check(db),
        },
        wished={"broker": _broker_check(settings)},
    )
    services = Services(
        settings=settings,
        db=db,
        identities=identities,
        limits=limits,
        rates=Rates(limits),
        key_uses=key_uses,
        desk=desk,
        readiness=readiness,
    )
    try:
        async with background.running(revocations=identities.watch, limits=limits.run, key_uses=key_uses.run):
            await readiness.prepare()
            yield services
    finally:
        await key_uses.close()
        await redis.aclose()
        await asyncio.to_thread(desk.passwords.close)
        await asyncio.to_thread(db.close)


def rates(settings: Settings) -> dict[str, int]:
    """The rate classes that endpoints may name, with their requests a minute."""
    return {
        "default": settings.requests_per_minute,
        "submit": settings.submissions_per_minute,
        "register": settings.registrations_per_minute,
        "upload": settings.uploads_per_minute,
        "orders": settings.orders_per_minute,
        "keys": settings.key_changes_per_minute,
        "key": settings.requests_per_minute,
        "key_submit": settings.submissions_per_minute,
        "author": settings.agent_changes_per_minute,
    }


def _database_check(db: AsyncDatabase) -> Check:
    def ask(session: Session) -> None:
        session.execute(select(1))

    async def check() -> None:
        await db.read(ask)

    return check


def _ledger_check(db: AsyncDatabase) -> Check:
    async def check() -> None:
        verdict = await db.read(verdicts.latest)
        broken = [name for name in verdict.totals if doctor.is_about_money(name)] if verdict else []
        if broken:
            raise LedgerViolated(", ".join(broken))

    return check


class LedgerViolated(Transient):
    """The last self-check found that credits don't add up: nothing may be sold until someone has looked."""

    code: ClassVar[str] = "LEDGER_VIOLATED"


def _storage_check(storage: Storage) -> Check:
    async def check() -> None:
        await asyncio.to_thread(storage.check)

    return check


def _broker_check(settings: Settings) -> Check:
    celery = broker.build(settings)

    async def check() -> None:
        await asyncio.to_thread(depth.depths, celery, (queues.SYSTEM,))

    return check
