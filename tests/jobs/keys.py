"""API keys of people in tests."""

from collections.abc import Sequence
from typing import Any

from atelier.accounts import api_keys
from atelier.accounts.api_keys import ApiKey, Changes, NewKey
from atelier.accounts.key_tokens import KeyToken
from atelier.accounts.scopes import SCOPES, Scope
from atelier.accounts.sessions import Origin
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id

ORIGIN = Origin.of(address="127.0.0.1", user_agent="a test")


def new_key(user_id: str, *, limit: int | None = None, scopes: Sequence[Scope] = SCOPES, **more: Any) -> NewKey:
    """A key that is not kept yet, for everything unless scopes are named."""
    made: dict[str, Any] = {
        "id": new_id(),
        "user_id": user_id,
        "name": "nightly",
        "token": KeyToken.of(new_id().replace("-", "")),
        "scopes": list(scopes),
        "credit_limit": limit,
        "requests_per_minute": None,
        "submissions_per_minute": None,
        "expires_ms": None,
        **more,
    }
    return NewKey(**made)


def keep(db: Database, new: NewKey, *, keys_max: int = 100) -> NewKey:
    """Keep it."""
    db.transact(api_keys.create, new, keys_max=keys_max, keyed=None, answer=None, origin=ORIGIN, now_ms=now_ms())
    return new


def make(db: Database, user_id: str, *, limit: int | None = None, **more: Any) -> NewKey:
    """A key of this user."""
    return keep(db, new_key(user_id, limit=limit, **more))


def read(db: Database, key: NewKey) -> ApiKey:
    """The key as its owner sees it."""
    return db.read(api_keys.one, key_id=key.id, user_id=key.user_id)


def change(db: Database, key: NewKey, **changes: Any) -> ApiKey:
    """Change it as its owner does."""
    given: Changes = {**changes}  # type: ignore[typeddict-item] # the test says which
    return db.transact(
        api_keys.change,
        key_id=key.id,
        user_id=key.user_id,
        changes=given,
        revocation_id=new_id(),
        origin=ORIGIN,
        now_ms=now_ms(),
    )


def revoke(db: Database, key: NewKey) -> None:
    """Revoke it as its owner does."""
    db.transact(
        api_keys.revoke, key_id=key.id, user_id=key.user_id, revocation_id=new_id(), origin=ORIGIN, now_ms=now_ms()
    )
