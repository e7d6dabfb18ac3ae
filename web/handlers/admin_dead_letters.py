"""Administrators look through what has failed, and let rest what nobody is to try again."""

from functools import partial

from atelier.generation import overseeing
from atelier.jobs import dead_letters
from web.handlers.admin_jobs import act
from web.handlers.authoring import VARY
from web.routing import Call, Endpoint, Reply
from web.schemas.admin_jobs import WhyBody
from web.schemas.dead_letters import LetterAnswer, LettersAnswer, LettersQuery


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
)
