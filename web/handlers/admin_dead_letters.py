"""Administrators look through what has failed, and let rest what nobody is to try again."""

from functools import partial
from typing import Any

from atelier.contracts import dead_messages
from atelier.generation import overseeing
from atelier.jobs import dead_letters
from web.handlers.admin_jobs import act
from web.handlers.authoring import VARY
from web.routing import Call, Endpoint, Reply
from web.schemas.admin_jobs import WhyBody
from web.schemas.auth import DoneAnswer
from web.schemas.dead_letters import (
    LetterAnswer,
    LettersAnswer,
    LettersQuery,
    MessageAnswer,
    MessagesAnswer,
    MessagesQuery,
)
from web.submissions import SUBMISSIONS


async def list_letters(call: Call) -> Reply:
    """A page of dead letters, and how many are open."""
    query: LettersQuery = call.query
    found, following = await call.services.db.read(dead_letters.page, query.wanted(call.now_ms), limit=query.rows)
    counts = await call.services.db.read(dead_letters.counts)
    return Reply(LettersAnswer.of(found, counts=counts, following=following, locale=call.locale), headers=VARY)


async def dismiss(call: Call) -> Reply:
    """Let a dead letter rest."""
    body: WhyBody = call.body
    letter = await call.services.db.transact(
        overseeing.dismiss, call.path["jobId"], act=act(call, body.reason), now_ms=call.now_ms
    )
    return Reply(LetterAnswer.of(letter, locale=call.locale), headers=VARY)


async def list_messages(call: Call) -> MessagesAnswer:
    """Messages that nobody could handle."""
    query: MessagesQuery = call.query
    found = await call.services.db.read(dead_messages.page, before=query.cursor, limit=query.rows)
    following = found[-1].id if len(found) == query.rows else None
    return MessagesAnswer(messages=[MessageAnswer.of(one) for one in found], next_cursor=following)


async def replay_message(call: Call) -> DoneAnswer:
    """Send a message once more."""
    await _deal(call, overseeing.replay_message)
    call.request.app[SUBMISSIONS].wake()
    return DoneAnswer()


async def dismiss_message(call: Call) -> DoneAnswer:
    """Forget a message."""
    await _deal(call, overseeing.dismiss_message)
    return DoneAnswer()


async def _deal(call: Call, how: Any) -> None:
    body: WhyBody = call.body
    await call.services.db.transact(how, call.path["messageId"], act=act(call, body.reason), now_ms=call.now_ms)


_admin = partial(Endpoint, tag="admin", auth="admin", cache="no-store")

ENDPOINTS = (
    _admin(
        method="GET",
        path="/api/admin/dead-letters",
        handler=list_letters,
        summary=("死信列表", "List dead letters"),
        query=LettersQuery,
        answer=LettersAnswer,
    ),
    _admin(
        method="POST",
        path="/api/admin/dead-letters/{jobId}/dismiss",
        handler=dismiss,
        summary=("搁置死信", "Dismiss a dead letter"),
        body=WhyBody,
        answer=LetterAnswer,
        errors=("NOT_FOUND", "LETTER_NOT_OPEN"),
    ),
    _admin(
        method="GET",
        path="/api/admin/dead-messages",
        handler=list_messages,
        summary=("无法处理的消息", "List messages that nobody could handle"),
        query=MessagesQuery,
        answer=MessagesAnswer,
    ),
    _admin(
        method="POST",
        path="/api/admin/dead-messages/{messageId}/replay",
        handler=replay_message,
        summary=("重发消息", "Send a dead message once more"),
        body=WhyBody,
        answer=DoneAnswer,
        errors=("NOT_FOUND", "MESSAGE_UNREADABLE"),
    ),
    _admin(
        method="POST",
        path="/api/admin/dead-messages/{messageId}/dismiss",
        handler=dismiss_message,
        summary=("搁置消息", "Forget a dead message"),
        body=WhyBody,
        answer=DoneAnswer,
        errors=("NOT_FOUND",),
    ),
)
