"""Creating users. The unique keys decide who was first; nothing is checked before that could change a moment later."""

from dataclasses import dataclass, field

from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.accounts.errors import UserExists
from atelier.accounts.models import User
from atelier.accounts.rules import Address
from atelier.kernel.database import is_duplicate


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    """A user to be, every part already cleaned by `rules`. `verified`: the operator vouches for the address."""

    id: str
    address: Address
    username: str
    password_hash: str = field(repr=False)
    display_name: str
    role: str = "user"
    locale: str = "zh"
    verified: bool = False


def create(session: Session, *, new: NewUser, now_ms: int) -> None:
    """Insert the user. Raises UserExists when the address or the username is taken, also by a parallel request."""
    row = {
        "id": new.id,
        "email": new.address.email,
        "email_key": new.address.key,
        "username": new.username,
        "username_key": new.username.lower(),
        "password_hash": new.password_hash,
        "display_name": new.display_name,
        "role": new.role,
        "email_verified_ms": now_ms if new.verified else None,
        "settings": {"locale": new.locale},
        "created_ms": now_ms,
        "updated_ms": now_ms,
    }
    try:
        session.execute(insert(User).values(row))
    except IntegrityError as error:
        if is_duplicate(error):
            raise UserExists from error
        raise
