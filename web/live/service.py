"""Everything live of one web process: `install` adds it to the application, handlers find it under LIVE."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from atelier.kernel import logs
from atelier.kernel.database import AsyncDatabase
from atelier.kernel.settings import Settings
from atelier.live.wire import Notice
from web import background
from web.identity import Identities
from web.live.catchup import CatchUp
from web.live.estimates import Estimates
from web.live.feed import Close, Feed
from web.live.feeds import Feeds
from web.live.group import GroupReader
from web.live.health import Health, Patience
from web.live.lines import Lines
from web.live.outlet import Outlet
from web.live.pump import Pump
from web.live.sessions import Sessions
from web.live.streams import Streams
from web.live.subscription import Subscription
from web.live.waiting import Waiting
from web.services import SERVICES
from web.snapshots import Snapshots

SOCKETS_PER_USER = 20
STREAMS_PER_USER = 100
WAITS_PER_USER = 200
CONNECT_SECONDS = 1.0

log = logs.get(__name__)


class Live:
    """The parts. `tell` is for events of this process; `estimates`, `snapshots` and `waiting` are for handlers.

    `lobby` are the sockets that have not said yet whose they are.
    """

    def __init__(self, settings: Settings, db: AsyncDatabase, identities: Identities) -> None:
        # A call that may have arrived must not be made twice, and one that fails has its fallback. There is no
        # socket_timeout on purpose: every call has its own limit of time, and redis-py keeps this one with
        # asyncio.wait_for, which before Python 3.12 may swallow a cancellation, and then the process never stops.
        self._redis: Redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
            settings.redis_url,
            socket_timeout=None,
            socket_connect_timeout=CONNECT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self.health = Health()
        self.feeds = Feeds()
        patience = Patience()
        self.estimates = Estimates(self._redis, patience=patience)
        self.sockets = Sessions(identities, per_user_max=SOCKETS_PER_USER, scope="jobs:read")
        self.event_streams = Sessions(identities, per_user_max=STREAMS_PER_USER, scope="jobs:read")
        self.waits = Sessions(identities, per_user_max=WAITS_PER_USER)
        self.reader = GroupReader(db)
        streams = Streams(self._redis, patience=patience)
        self.snapshots = Snapshots(
            self.reader,
            lines=Lines(db, window=settings.user_window),
            estimates=self.estimates,
            streams=streams,
            healthy=self.health,
        )
        self.waiting = Waiting(feeds=self.feeds, snapshots=self.snapshots, sessions=self.waits)
        self.catch_up = CatchUp(
            db,
            feeds=self.feeds,
            reader=self.reader,
            snapshots=self.snapshots,
            streams=streams,
            healthy=self.health,
        )
        self._outlet = Outlet(self._redis, healthy=self.health, receive=self._receive)
        self._subscription = Subscription(
            self._redis,
            health=self.health,
            receive=self._receive,
            begin=self.catch_up.doubt,
            lose=self.catch_up.believe,
        )
        self.tell = self._outlet.tell
        self.pump = Pump()
        self.lobby: set[Feed] = set()
        self.health.recovered = self._recovered

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Listen, look after everyone, and stop at the end."""
        try:
            async with background.running(
                subscription=self._subscription.run,
                snapshots=self.snapshots.run,
                catch_up=self.catch_up.run,
                outlet=self._outlet.run,
                sockets=self.sockets.run,
                event_streams=self.event_streams.run,
                waits=self.waits.run,
            ):
                yield
        finally:
            self.close()
            await self.reader.close()
            await self._redis.aclose()

    def close(self) -> None:
        """Ask everyone who is connected to go, so that they come back elsewhere."""
        for sessions in (self.sockets, self.event_streams, self.waits):
            sessions.close()
        for feed in list(self.lobby):
            feed.end(Close.GOING_AWAY)

    def _receive(self, notice: Notice) -> None:
        self.snapshots.notice(notice)
        self.feeds.dispatch(notice)

    def _recovered(self) -> None:
        log.info("live.recovered", feeds=len(self.feeds))
        self.snapshots.doubt()
        self.catch_up.missed()


LIVE: web.AppKey[Live] = web.AppKey("live", Live)


def install(application: web.Application) -> None:
    """Make it a part of the application, after its services: they are there when it starts, and when it stops."""

    async def serve(application: web.Application) -> AsyncIterator[None]:
        services = application[SERVICES]
        live = Live(services.settings, services.db, services.identities)
        async with live.running():
            application[LIVE] = live
            yield

    async def close(application: web.Application) -> None:
        # The server waits for its handlers before it cleans up: they have to be asked first.
        application[LIVE].close()

    application.cleanup_ctx.append(serve)
    application.on_shutdown.append(close)
