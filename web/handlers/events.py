"""Live events: a stream for one job, a socket for many, and tickets for sockets."""

from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp_sse import EventSourceResponse, sse_response

from atelier.accounts.errors import ScopeMissing
from atelier.kernel import clock
from atelier.kernel.errors import Forbidden, RateLimited, Unauthorized
from atelier.kernel.ids import new_id
from atelier.live.events import FINAL
from web.border import Origins
from web.identity import Identity
from web.live import tickets
from web.live.catchup import saw_the_end
from web.live.feed import Close, Feed
from web.live.service import LIVE
from web.live.socket import Socket
from web.routing import Call, Endpoint, Reply
from web.schemas.events import AuthMessage, EventsQuery, TicketAnswer

PING_SECONDS = 15.0
SEND_SECONDS = 10.0
LOOK_SECONDS = 2.0
"""How often a quiet stream looks whether its client is still there."""
RECONNECT = b"retry: 1000\r\n\r\n"


async def stream(call: Call) -> web.StreamResponse | Reply:
    """A job's events as Server-Sent Events, from its present state on, or after `Last-Event-ID`, until its end.

    204 when the job has ended and its end was seen: browsers then stop reconnecting.
    """
    live = call.request.app[LIVE]
    feed = Feed(call.user.user_id, locale=call.locale)
    feed.jobs_only = call.user.key is not None
    authorization = call.request.headers[hdrs.AUTHORIZATION]
    with live.event_streams.attended(feed, authorization=authorization):
        try:
            job = await live.catch_up.follow(feed, call.path["jobId"], after=_after(call))
            if saw_the_end(job, _after(call)):
                return Reply(status=204)
            if call.request.method == hdrs.METH_HEAD:
                return web.StreamResponse(headers=EventSourceResponse().headers)
            return await _streamed(call.request, feed)
        finally:
            live.feeds.remove(feed)


async def connect(call: Call) -> web.StreamResponse:
    """A WebSocket for any number of jobs. The first message says who it is for, with a token or a ticket."""
    request, settings = call.request, call.services.settings
    if not _is_welcome(request, settings.frontend_urls, settings.public_url):
        raise Forbidden
    admit, spend = partial(_admitted, call), partial(_spent, call)
    return await Socket(request.app[LIVE], locale=call.locale, authorize=admit, spend=spend).serve(request)


async def make_ticket(call: Call) -> TicketAnswer:
    """A ticket that opens one socket within a minute, for clients that should not hand out their token."""
    ticket = tickets.make(call.user, ticket_id=new_id(), now_ms=call.now_ms)
    return TicketAnswer(ticket=ticket.encode(call.services.settings.keyring), expires_at=ticket.expires_ms)


async def _streamed(request: web.Request, feed: Feed) -> web.StreamResponse:
    async with sse_response(request, ping_interval=PING_SECONDS, send_timeout=SEND_SECONDS) as response:

        def abort(why: Close) -> None:
            if why is Close.TOO_SLOW and request.transport is not None:
                request.transport.abort()

        feed.on_end = abort
        # The client is gone, or too slow: either way there is nobody to tell.
        with suppress(ConnectionError, TimeoutError):
            await response.write(RECONNECT)
            await _pump(request, response, feed)
    return response


async def _pump(request: web.Request, response: EventSourceResponse, feed: Feed) -> None:
    while not feed.ended and request.transport is not None:
        item = feed.take()
        if item is None:
            await feed.ready(seconds=LOOK_SECONDS)
        elif not isinstance(item, bytes):
            await response.send(item.envelope.decode(), id=str(item.seq), event=item.type)
            if item.type in FINAL:
                return


def _after(call: Call) -> int | None:
    query: EventsQuery = call.query
    last = call.request.headers.get(EventSourceResponse.DEFAULT_LAST_EVENT_HEADER, "")
    return int(last) if last.isascii() and last.isdigit() and len(last) <= 18 else query.after


async def _admitted(call: Call, told: AuthMessage) -> tuple[Identity, str]:
    """Who a first message is from, and the Authorization header that says the same."""
    services = call.services
    if told.token is not None:
        header = f"Bearer {told.token}"
        known = services.identities.known(header, clock.now_ms())
    elif told.ticket is not None:
        # A ticket is worth a question: its session may have ended since it was made.
        header = await tickets.redeem(services.db, services.settings.keyring, told.ticket, now_ms=clock.now_ms())
        known = None
    else:
        raise Unauthorized
    identity = known or await services.identities.identify(header, clock.now_ms())
    _used(call, identity)
    return _reader(identity), header


def _reader(identity: Identity) -> Identity:
    """The same, if it may read jobs. Raises ScopeMissing."""
    if not identity.may("jobs:read"):
        raise ScopeMissing(scope="jobs:read")
    return identity


def _spent(call: Call, identity: Identity, header: str) -> None:
    """Count a message as a request. Raises RateLimited."""
    services, now_ms = call.services, clock.now_ms()
    # The limits of a key may have been changed since its socket was opened.
    identity = services.identities.known(header, now_ms) or identity
    _used(call, identity)
    quota = services.rates.request(identity, services.limits.policy("default"), now_ms)
    if quota.retry_after:
        raise RateLimited(retry_after=quota.retry_after)


def _used(call: Call, identity: Identity) -> None:
    if identity.key is not None:
        call.services.key_uses.note(identity.key.key_id, clock.now_ms())


def _is_welcome(request: web.Request, frontend_urls: list[str], public_url: str) -> bool:
    """Whether a page of this origin may open a socket: our own, a front end's, or no page at all."""
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None:
        return True
    try:
        host = urlsplit(origin).netloc.lower()
    except ValueError:
        return False  # No browser sends such a thing.
    own = {request.host.lower(), urlsplit(public_url).netloc.lower()} - {""}
    return host in own or Origins(frontend_urls).allows(origin.lower())


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/jobs/{jobId}/events",
        handler=stream,
        scope="jobs:read",
        summary=("任务事件流", "A job's events as a stream"),
        tag="events",
        query=EventsQuery,
        produces="text/event-stream",
        also={204: None},
    ),
    Endpoint(
        method="GET",
        path="/api/events",
        handler=connect,
        summary=("实时事件套接字", "Live events as a WebSocket"),
        tag="events",
        auth="public",
        status=101,
        errors=("FORBIDDEN",),
    ),
    Endpoint(
        method="POST",
        path="/api/events/ticket",
        handler=make_ticket,
        scope="jobs:read",
        summary=("获取一次性票据", "Get a one-time ticket"),
        tag="events",
        answer=TicketAnswer,
        cache="no-store",
    ),
)
