"""A thousand users with far more credits than a load can spend, and the tokens that sign them in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Table, insert
from sqlalchemy.orm import Session

from atelier.accounts.models import User
from atelier.kernel import ids, tokens
from atelier.kernel.clock import DAY_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.keyring import Keyring, stretched
from atelier.ledger.models import ACCOUNTS, TOPUP, TRANSFERS

USERS = cast("Table", User.__table__)
COUNT = 1_000
AMOUNT = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Person:
    """A user and a token that is good for a day."""

    user_id: str
    token: str


def invite(database: Database, *, secret: str, count: int = COUNT) -> list[Person]:
    """Insert users with their accounts and what they bought."""
    now = now_ms()
    keyring = Keyring.of(stretched(secret))
    people = [_person(keyring, now) for _ in range(count)]
    database.transact(_insert, [person.user_id for person in people], now_ms=now)
    return people


def _person(keyring: Keyring, now: int) -> Person:
    user_id = ids.new_id()
    token = tokens.issue(
        keyring, user_id=user_id, token_id=ids.new_id(), version=0, now_ms=now - 1_000, expires_ms=now + DAY_MS
    )
    return Person(user_id, token)


def _insert(session: Session, user_ids: Sequence[str], *, now_ms: int) -> None:
    connection = session.connection()
    connection.execute(insert(USERS), [_user(number, user_id, now_ms) for number, user_id in enumerate(user_ids)])
    connection.execute(insert(ACCOUNTS), [_account(user_id, now_ms) for user_id in user_ids])
    connection.execute(insert(TRANSFERS), [_topup(user_id, now_ms) for user_id in user_ids])


def _user(number: int, user_id: str, now_ms: int) -> dict[str, object]:
    name = f"bench{number}"
    return {
        "id": user_id,
        "email": f"{name}@example.invalid",
        "email_key": f"{name}@example.invalid",
        "username": name,
        "username_key": name,
        "password_hash": "nobody signs in with a password",
        "display_name": name,
        "role": "user",
        "status": "active",
        "token_version": 0,
        "email_verified_ms": now_ms,
        "settings": {},
        "created_ms": now_ms,
        "updated_ms": now_ms,
    }


def _account(user_id: str, now_ms: int) -> dict[str, object]:
    return {
        "id": user_id,
        "kind": "user",
        "credits_posted": AMOUNT,
        "debits_posted": 0,
        "debits_pending": 0,
        "version": 1,
        "created_ms": now_ms,
    }


def _topup(user_id: str, now_ms: int) -> dict[str, object]:
    return {
        "id": ids.new_id(),
        "key": f"topup:bench:{user_id}",
        "kind": "topup",
        "debit_id": TOPUP,
        "credit_id": user_id,
        "amount": AMOUNT,
        "account_id": user_id,
        "account_version": 1,
        "balance_after": AMOUNT,
        "created_ms": now_ms,
    }
