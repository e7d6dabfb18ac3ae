"""API keys: made, shown once, limited, revoked. Only who is signed in may do so; no key makes or changes keys."""

import secrets
from functools import partial

from aiohttp import hdrs
from pydantic_core import to_json

from atelier.accounts import api_keys, key_tokens
from atelier.accounts.api_keys import NewKey
from atelier.accounts.key_tokens import KeyToken
from atelier.accounts.sessions import Origin
from atelier.kernel.clock import DAY_MS
from atelier.kernel.errors import Invalid
from atelier.kernel.ids import new_id
from web.routing import REPLAYED, Call, Endpoint, Reply
from web.schemas.auth import DoneAnswer
from web.schemas.keys import KeyAnswer, KeyBody, KeyChangeBody, KeyMadeAnswer, KeysAnswer
from web.schemas.model import PageQuery, Pagination


async def create_key(call: Call) -> Reply:
    """Make a key. It is in this answer and nowhere else: sent again with its Idempotency-Key, the answer is without."""
    new = _new(call, call.body)
    shown = KeyMadeAnswer.of(new.shown(call.now_ms), now_ms=call.now_ms, key=None)
    stored = await call.services.db.transact(
        api_keys.create,
        new,
        keys_max=call.services.settings.api_keys_max,
        keyed=call.keyed,
        answer=shown.model_dump(mode="json", by_alias=True),
        origin=_origin(call),
        now_ms=call.now_ms,
    )
    if stored:
        return Reply(raw=to_json(stored.answer), status=stored.status, headers=REPLAYED)
    return Reply(shown.model_copy(update={"key": new.token.text}), headers={"Location": f"/api/keys/{new.id}"})


async def list_keys(call: Call) -> KeysAnswer:
    """The caller's keys, newest first; those that ended too, for 90 days."""
    query: PageQuery = call.query
    found, total = await call.services.db.read(
        api_keys.page, user_id=call.user.user_id, offset=query.offset, limit=query.limit
    )
    shown = [KeyAnswer.of(key, now_ms=call.now_ms) for key in found]
    return KeysAnswer(keys=shown, pagination=Pagination.of(query, total=total))


async def read_key(call: Call) -> KeyAnswer:
    """One of the caller's keys."""
    key = await call.services.db.read(api_keys.one, key_id=call.path["keyId"], user_id=call.user.user_id)
    return KeyAnswer.of(key, now_ms=call.now_ms)


async def change_key(call: Call) -> KeyAnswer:
    """Change what an active key is called, may do and may spend; counts within a second everywhere."""
    body: KeyChangeBody = call.body
    key = await call.services.db.transact(
        api_keys.change,
        key_id=call.path["keyId"],
        user_id=call.user.user_id,
        changes=body.changes,
        revocation_id=new_id(),
        origin=_origin(call),
        now_ms=call.now_ms,
    )
    call.services.identities.forget(token_id=key.id)
    return KeyAnswer.of(key, now_ms=call.now_ms)


async def revoke_key(call: Call) -> DoneAnswer:
    """End a key: here at once, everywhere within a second. What it has submitted goes on, and counts against it."""
    key_id = call.path["keyId"]
    await call.services.db.transact(
        api_keys.revoke,
        key_id=key_id,
        user_id=call.user.user_id,
        revocation_id=new_id(),
        origin=_origin(call),
        now_ms=call.now_ms,
    )
    call.services.identities.forget(token_id=key_id)
    return DoneAnswer()


def _new(call: Call, body: KeyBody) -> NewKey:
    random = "".join(secrets.choice(key_tokens.ALPHABET) for _ in range(key_tokens.RANDOM_CHARS))
    return NewKey(
        id=new_id(),
        user_id=call.user.user_id,
        name=body.name,
        token=KeyToken.of(random),
        scopes=body.scopes,
        credit_limit=body.credit_limit,
        requests_per_minute=body.requests_per_minute,
        submissions_per_minute=body.submissions_per_minute,
        expires_ms=_end(body, now_ms=call.now_ms),
    )


def _end(body: KeyBody, *, now_ms: int) -> int | None:
    if body.expires_in_days is not None:
        if body.expires_at is not None:
            raise Invalid([{"path": ["expiresAt"], "message": "expiresInDays says it too", "code": "said_twice"}])
        return now_ms + body.expires_in_days * DAY_MS
    if body.expires_at is not None and body.expires_at <= now_ms:
        raise Invalid([{"path": ["expiresAt"], "message": "this is over already", "code": "datetime_future"}])
    return body.expires_at


def _origin(call: Call) -> Origin:
    return Origin.of(address=call.address, user_agent=call.request.headers.get(hdrs.USER_AGENT))


_keys = partial(Endpoint, tag="keys", cache="no-store")
_one = partial(_keys, path="/api/keys/{keyId}")

ENDPOINTS = (
    _keys(
        method="GET",
        path="/api/keys",
        handler=list_keys,
        summary=("API密钥列表", "List API keys"),
        query=PageQuery,
        answer=KeysAnswer,
    ),
    _keys(
        method="POST",
        path="/api/keys",
        handler=create_key,
        summary=("创建API密钥", "Make an API key"),
        body=KeyBody,
        answer=KeyMadeAnswer,
        status=201,
        gives=("Location",),
        errors=("KEY_LIMIT",),
        rate="keys",
        idempotent=True,
    ),
    _one(
        method="GET",
        handler=read_key,
        summary=("查看API密钥", "Read an API key"),
        answer=KeyAnswer,
        errors=("KEY_NOT_FOUND",),
    ),
    _one(
        method="PUT",
        handler=change_key,
        summary=("修改API密钥", "Change an API key"),
        body=KeyChangeBody,
        answer=KeyAnswer,
        errors=("KEY_NOT_FOUND", "KEY_ENDED", "KEY_LIMIT_TOO_LOW"),
        rate="keys",
    ),
    _one(
        method="DELETE",
        handler=revoke_key,
        summary=("吊销API密钥", "Revoke an API key"),
        answer=DoneAnswer,
        errors=("KEY_NOT_FOUND",),
        rate="keys",
    ),
)
