"""One WebSocket: says who it is for, then follows jobs.

    → {"type":"auth","token"|"ticket"}                        first, within ten seconds
    → {"type":"subscribe","jobId"|"all":true,"after"?}        → {"type":"unsubscribe",…}        → {"type":"ping"}
    ← authenticated, subscribed, unsubscribed, pong, error    answers, in the envelope of events
    ← job.…, credits.changed, notification.created            events

Close codes: 1001 come again, 1009 message too large, 4401 the session has ended, 4403 an API key without
`jobs:read`, 4408 too slow, 4429 too many sockets.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from aiohttp import WSMsgType, web

from atelier.kernel import clock
from atelier.kernel.errors import AtelierError, Forbidden, Invalid, RateLimited, Transient, Unauthorized
from web.identity import NEVER_MS, Identity
from web.live import talk
from web.live.feed import Close, Feed
from web.live.service import Live
from web.messages import Locale
from web.schemas.events import AuthMessage, PingMessage, SubscribeMessage, UnsubscribeMessage

AUTH_SECONDS = 10.0
CLOSE_SECONDS = 5.0
HEARTBEAT_SECONDS = 30.0
MESSAGE_BYTES_MAX = 64 * 1024
SUBSCRIPTIONS_MAX = 200
CALM_BYTES = 16 * 1024
"""With more than this unsent a socket is written to by a task of its own; at 64 kB a write begins to wait."""

Authorize = Callable[[AuthMessage], Awaitable[tuple[Identity, str]]]
"""Who a first message is from, and the Authorization header that says the same. Raises Unauthorized or Transient."""
Spend = Callable[[Identity, str], None]


class Socket:
    """See above. `spend` counts a message as a request of who was admitted, with their header; raises RateLimited."""

    __slots__ = ("_authorize", "_closing", "_live", "_locale", "_spend", "_transport", "_web", "_writer", "_writing")

    def __init__(self, live: Live, *, locale: Locale, authorize: Authorize, spend: Spend) -> None:
        self._live = live
        self._locale: Locale = locale
        self._authorize = authorize
        self._spend = spend
        self._writer: asyncio.Task[None] | None = None
        self._writing = False
        self._web = web.WebSocketResponse(
            compress=False, heartbeat=HEARTBEAT_SECONDS, max_msg_size=MESSAGE_BYTES_MAX, timeout=CLOSE_SECONDS
        )
        self._transport: asyncio.Transport | None = None
        self._closing: asyncio.Task[None] | None = None

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Serve until either side closes."""
        await self._web.prepare(request)
        self._transport = request.transport
        try:
            admitted = await self._admitted()
            if admitted is not None:
                await self._attended(*admitted)
        finally:
            if self._closing is not None:
                await self._closing
        return self._web

    # -- the lobby

    async def _admitted(self) -> tuple[Feed, Identity, str] | None:
        """The feed of whoever the first message is from, who that is, and their Authorization header; None: nobody."""
        lobby = Feed("")
        lobby.on_end = self._close
        self._live.lobby.add(lobby)
        try:
            async with asyncio.timeout(AUTH_SECONDS):
                identity, authorization = await self._introduced()
        except (Unauthorized, Invalid, TimeoutError):
            self._close(Close.UNAUTHORIZED)
            return None
        except Forbidden:
            self._close(Close.FORBIDDEN)
            return None
        except Transient:
            # Nobody can tell now who this is: it may come again.
            self._close(Close.GOING_AWAY)
            return None
        finally:
            self._live.lobby.discard(lobby)
        feed = Feed(identity.user_id, locale=self._locale)
        feed.on_end, feed.on_news = self._close, self._news
        feed.jobs_only = identity.key is not None
        return feed, identity, authorization

    async def _introduced(self) -> tuple[Identity, str]:
        told = talk.parsed(await self._web.receive())
        if not isinstance(told, AuthMessage):
            raise Unauthorized
        return await self._authorize(told)

    # -- the session

    async def _attended(self, feed: Feed, identity: Identity, authorization: str) -> None:
        try:
            self._live.sockets.enter(feed, authorization=authorization)
        except RateLimited:
            self._close(Close.TOO_MANY)
            return
        ends = clock.rfc3339(identity.expires_ms) if identity.expires_ms < NEVER_MS else None
        session = {"userId": feed.user_id, "expiresAt": ends}
        feed.say(talk.answer("authenticated", data=session))
        try:
            await self._listen(feed, partial(self._spend, identity, authorization))
        finally:
            self._live.sockets.leave(feed)
            self._live.feeds.remove(feed)
            if self._writer is not None:
                self._writer.cancel()

    async def _listen(self, feed: Feed, spend: Callable[[], None]) -> None:
        async for message in self._web:
            if message.type is WSMsgType.ERROR:
                return
            try:
                spend()
                await self._obey(feed, talk.parsed(message))
            except AtelierError as error:
                feed.say(talk.refused(error, message, self._locale))

    async def _obey(self, feed: Feed, told: AuthMessage | SubscribeMessage | UnsubscribeMessage | PingMessage) -> None:
        if isinstance(told, SubscribeMessage):
            await self._subscribe(feed, told)
        elif isinstance(told, UnsubscribeMessage):
            self._unsubscribe(feed, told)
        elif isinstance(told, PingMessage):
            feed.say(talk.answer("pong"))
        else:
            raise Invalid([{"path": ["type"], "code": "literal_error"}])

    async def _subscribe(self, feed: Feed, told: SubscribeMessage) -> None:
        if told.all:
            hello = talk.answer("subscribed", data={"all": True})
            await self._live.catch_up.follow_everything(feed, finished=told.after is not None, hello=hello)
        elif told.job_id is None:
            raise talk.needs_job()
        elif len(feed.tracks) >= SUBSCRIPTIONS_MAX and not feed.everything:
            raise Invalid([{"path": ["jobId"], "code": "too_long"}])
        else:
            await self._live.catch_up.follow(feed, told.job_id, after=told.after, hello=talk.subscribed)

    def _unsubscribe(self, feed: Feed, told: UnsubscribeMessage) -> None:
        if told.all:
            self._live.feeds.unwatch_everything(feed)
        elif told.job_id is None:
            raise talk.needs_job()
        else:
            self._live.feeds.unwatch(feed, told.job_id)
            feed.leave(told.job_id)
        feed.say(talk.answer("unsubscribed", job_id=told.job_id, data={"all": told.all}))

    # -- the way out

    def _news(self, feed: Feed) -> None:
        if not self._writing:
            self._writing = True
            self._live.pump.add(partial(self._write, feed, in_company=True))

    async def _write(self, feed: Feed, *, in_company: bool) -> None:
        """Write what there is; in company only while the client takes it, so that nobody waits for this one."""
        try:
            while not (in_company and self._is_congested()) and (item := feed.take()) is not None:
                await self._web.send_frame(item if isinstance(item, bytes) else item.envelope, WSMsgType.TEXT)
        except ConnectionError:
            return
        finally:
            self._writing = False
        if not feed.is_empty:
            self._writing = True
            self._writer = asyncio.create_task(self._write(feed, in_company=False))

    def _is_congested(self) -> bool:
        return self._transport is not None and self._transport.get_write_buffer_size() > CALM_BYTES

    def _close(self, why: Close) -> None:
        if self._closing is None:
            self._closing = asyncio.create_task(self._closed(why))

    async def _closed(self, why: Close) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._web.close(code=why, message=why.name.encode())
        except TimeoutError:
            # Who doesn't even take the close frame is not waited for.
            if self._transport is not None:
                self._transport.abort()
