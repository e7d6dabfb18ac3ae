"""The two transactions around the look at a password: count the attempt before, forgive and record after."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from atelier.accounts import queries, recovery, sessions, throttle
from atelier.accounts.errors import InvalidCredentials
from atelier.accounts.sessions import Credentials, Origin
from atelier.ledger import queries as ledger
from atelier.ledger.queries import Balance


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user with what they have and have spent."""

    profile: queries.Profile
    balance: Balance


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One look at a password: whose (`kind` and `key` as in `sessions.credentials`), what for, and from where."""

    id: str
    purpose: str
    address: str
    kind: str
    key: str

    @property
    def subject(self) -> str:
        """Who is counted for it."""
        return self._subject(self.key)

    def subjects(self, seen: Credentials | None) -> set[str]:
        """Who is counted for the same account, by whatever name it is called."""
        return {self.subject, *map(self._subject, (seen.email_key, seen.username_key) if seen else ())}

    def _subject(self, account: str) -> str:
        return throttle.subject(purpose=self.purpose, address=self.address, account=account)


def account(session: Session, *, user_id: str) -> Account:
    """Raises UserNotFound."""
    return Account(profile=queries.profile(session, user_id=user_id), balance=ledger.balance(session, user_id=user_id))


def begin(
    session: Session, *, attempt: Attempt, failures_max: int, now_ms: int, undecided: bool = True
) -> Credentials | None:
    """Count the attempt and answer what to compare with. Raises RateLimited.

    None for an unknown user, and for one who has had all failures by another name: the caller can't tell which.
    """
    throttle.count(
        session,
        subject=attempt.subject,
        attempt_id=attempt.id,
        failures_max=failures_max,
        now_ms=now_ms,
        undecided=undecided,
    )
    seen = sessions.credentials(session, kind=attempt.kind, key=attempt.key)
    spent = throttle.are_spent(
        session, subjects=attempt.subjects(seen), attempt_id=attempt.id, failures_max=failures_max, now_ms=now_ms
    )
    return None if spent else seen


def fail(session: Session, *, attempt: Attempt) -> None:
    """The password was wrong."""
    throttle.fail(session, subject=attempt.subject, attempt_id=attempt.id)


def finish(
    session: Session, *, attempt: Attempt, seen: Credentials, new_hash: str | None, origin: Origin, now_ms: int
) -> Account:
    """The password was right. Raises InvalidCredentials when the user was disabled or changed it this very moment."""
    if not sessions.record_login(session, seen=seen, new_hash=new_hash, origin=origin, now_ms=now_ms):
        raise InvalidCredentials
    throttle.forgive(session, subjects=attempt.subjects(seen))
    return account(session, user_id=seen.user_id)


def finish_change(
    session: Session, *, attempt: Attempt, seen: Credentials, new_hash: str, ended: recovery.Ended, now_ms: int
) -> int:
    """The old password was right: set the new one and answer the new token version. Raises WrongPassword."""
    throttle.forgive(session, subjects=attempt.subjects(seen))
    return recovery.change(
        session, user_id=seen.user_id, old_hash=seen.password_hash, new_hash=new_hash, ended=ended, now_ms=now_ms
    )
