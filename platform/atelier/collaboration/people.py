"""The people of projects, as those see them who may see the project."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.accounts import rules
from atelier.accounts.errors import UserNotFound
from atelier.accounts.models import User


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Someone with an account; one whose account is gone keeps the id and has no name."""

    id: str
    username: str
    display_name: str
    avatar_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """How someone is invited: `key` as it is kept, and who has it, if anyone."""

    key: str
    user_id: str | None


def of_ids(session: Session, user_ids: Iterable[str]) -> dict[str, Person]:
    """The people with these ids."""
    wanted = sorted(set(user_ids))
    people = {one: Person(id=one, username="", display_name="", avatar_url=None) for one in wanted}
    rows = session.execute(
        select(User.id, User.username, User.display_name, User.avatar_url).where(User.id.in_(wanted))
    )
    return people | {
        row.id: Person(id=row.id, username=row.username, display_name=row.display_name, avatar_url=row.avatar_url)
        for row in rows
    }


def by_email(session: Session, *, email: str) -> Address:
    """An e-mail address. Only who has proved that it is theirs is found by it. Raises Invalid for what is none."""
    key = rules.email(email).key
    proved = (User.email_key == key, User.email_verified_ms.is_not(None), User.status == "active")
    return Address(key=key, user_id=session.execute(select(User.id).where(*proved)).scalar_one_or_none())


def by_username(session: Session, *, username: str) -> Address:
    """A username. Raises UserNotFound: names are public, so that nobody has it is no secret."""
    key = username.casefold()
    found = session.execute(select(User.id).where(User.username_key == key, User.status == "active"))
    user_id = found.scalar_one_or_none()
    if user_id is None:
        raise UserNotFound
    return Address(key=f"@{key}", user_id=user_id)


def hold(session: Session, *, user_id: str) -> None:
    """Hold the user's row until this transaction ends: what is counted of theirs is counted by one at a time."""
    session.execute(select(User.id).where(User.id == user_id).with_for_update()).one()
