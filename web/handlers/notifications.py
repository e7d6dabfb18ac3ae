"""Notifications of the caller, and the links by which e-mails about them are ended."""

from functools import partial

from aiohttp import hdrs

from atelier.accounts import preferences
from atelier.correspondence import unsubscribing
from atelier.mail import links
from atelier.notifications import queries, service
from web import reading, unsubscribe_page
from web.messages import Locale
from web.routing import Call, Endpoint, Reply
from web.schemas.auth import DoneAnswer, MessageAnswer
from web.schemas.notifications import NotificationsAnswer, NotificationsQuery, ReadAllAnswer, UnsubscribeQuery

BODY_MAX = 4 * 1024


async def list_notifications(call: Call) -> NotificationsAnswer:
    """A page of the caller's notifications, newest first.

    They are told in the language of `Accept-Language`, without it in that of the caller's settings.
    """
    query: NotificationsQuery = call.query
    page = await call.services.db.read(
        queries.page,
        user_id=call.user.user_id,
        unread_only=query.unread,
        before=query.cursor,
        offset=query.offset,
        limit=query.limit,
    )
    return NotificationsAnswer.of(page, query=query, locale=await _locale(call))


async def mark_read(call: Call) -> DoneAnswer:
    """Note that this one was read; again changes nothing."""
    await call.services.db.transact(
        service.mark_read, notification_id=call.path["notificationId"], user_id=call.user.user_id, now_ms=call.now_ms
    )
    return DoneAnswer()


async def mark_all_read(call: Call) -> ReadAllAnswer:
    """Note that all were read."""
    count = await call.services.db.transact(service.mark_all_read, user_id=call.user.user_id, now_ms=call.now_ms)
    return ReadAllAnswer(count=count)


async def remove(call: Call) -> DoneAnswer:
    """Delete this one."""
    await call.services.db.transact(
        service.remove, notification_id=call.path["notificationId"], user_id=call.user.user_id
    )
    return DoneAnswer()


async def ask_unsubscribe(call: Call) -> Reply:
    """A page with a button. Opening the link alone changes nothing, because mail filters open links too."""
    query: UnsubscribeQuery = call.query
    found = unsubscribing.named(call.services.settings, token=query.token)
    return unsubscribe_page.question(found.category, token=query.token, locale=call.locale)


async def unsubscribe(call: Call) -> MessageAnswer | Reply:
    """End the e-mails of one category, without a login and any number of times (RFC 8058).

    Whatever the body says is not looked at. A browser gets a page, everyone else JSON.
    """
    query: UnsubscribeQuery = call.query
    await reading.raw_body(call.request, limit=BODY_MAX)
    found = unsubscribing.named(call.services.settings, token=query.token)
    await call.services.db.transact(unsubscribing.end, subscription=found, now_ms=call.now_ms)
    if "text/html" in call.request.headers.get(hdrs.ACCEPT, ""):
        return unsubscribe_page.done(found.category, locale=call.locale)
    return MessageAnswer(message=unsubscribe_page.told(found.category, locale=call.locale))


async def _locale(call: Call) -> Locale:
    if hdrs.ACCEPT_LANGUAGE in call.request.headers:
        return call.locale
    return (await call.services.db.read(preferences.read, user_id=call.user.user_id)).locale


_mine = partial(Endpoint, tag="notifications", cache="no-store")
_public = partial(_mine, path=links.UNSUBSCRIBE, auth="public", query=UnsubscribeQuery, errors=("TOKEN_INVALID",))

ENDPOINTS = (
    _mine(
        method="GET",
        path="/api/notifications",
        handler=list_notifications,
        summary=("通知列表", "Notifications"),
        query=NotificationsQuery,
        answer=NotificationsAnswer,
    ),
    _public(
        method="GET",
        handler=ask_unsubscribe,
        summary=("退订页面", "Page to unsubscribe"),
        produces="text/html",
    ),
    _public(
        method="POST",
        handler=unsubscribe,
        summary=("一键退订", "Unsubscribe by one click"),
        accepts="*/*",
        body_max=BODY_MAX,
        answer=MessageAnswer,
    ),
    _mine(
        method="POST",
        path="/api/notifications/read-all",
        handler=mark_all_read,
        summary=("全部标为已读", "Mark all as read"),
        answer=ReadAllAnswer,
    ),
    _mine(
        method="POST",
        path="/api/notifications/{notificationId}/read",
        handler=mark_read,
        summary=("标为已读", "Mark as read"),
        answer=DoneAnswer,
    ),
    _mine(
        method="DELETE",
        path="/api/notifications/{notificationId}",
        handler=remove,
        summary=("删除通知", "Delete a notification"),
        answer=DoneAnswer,
    ),
)
