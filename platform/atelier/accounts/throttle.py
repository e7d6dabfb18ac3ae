"""Failed logins, counted in the database per address and account, so that an empty Redis forgets nothing.

An attempt is counted before its password is looked at and taken back when it was right: parallel guesses can't slip
past a counter that each of them has read too early, for they pass a gate one by one, in whatever process they are. Who
is refused only because some of those counted are still undecided is asked to come again in a second, because they may
have been right. The account itself is never locked, so nobody can lock out another.

An account has two names to sign in by. Each is counted for itself, because an answer that counted both would say that
they belong together, and so that they exist. Whether they had their failures together is asked silently: from then on
no password is looked at, and the answer is the one that a wrong password gets.
"""

import ipaddress
import math
from collections.abc import Collection

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.accounts.models import LoginFailure
from atelier.kernel import clock, tokens
from atelier.kernel.database import Again, is_duplicate, matched
from atelier.kernel.errors import RateLimited

WINDOW_MS = 15 * clock.MINUTE_MS
GATE = "gate"
"""The subject of the rows that are no failures: there is one for each subject, to be locked while it is counted."""
UNDECIDED_MS = 30 * clock.SECOND_MS
"""Nobody looks at a password for so long: an attempt that is older and undecided has lost its process, and failed."""
UNDECIDED_SECONDS = 1
_ID_CHARS = 36


def subject(*, purpose: str, address: str, account: str) -> str:
    """The digest of an address and an account. An IPv6 network of 64 bits counts as one address: it has one owner."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        parsed = None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        address = str(ipaddress.ip_network((parsed, 64), strict=False))
    return tokens.digest(f"{purpose}\n{address}\n{account}")


def count(
    session: Session, *, subject: str, attempt_id: str, failures_max: int, now_ms: int, undecided: bool = False
) -> None:
    """Count an attempt, as failed or as `undecided`. Raises RateLimited with the seconds until the next one is free."""
    _pass_the_gate(session, subject=subject, now_ms=now_ms)
    recent = (
        select(LoginFailure.subject, LoginFailure.at_ms)
        .where(LoginFailure.subject.in_(_rows({subject})), LoginFailure.at_ms > now_ms - WINDOW_MS)
        .order_by(LoginFailure.at_ms)
    )
    counted = session.execute(recent).all()
    failed = [row.at_ms for row in counted if row.subject == subject or row.at_ms <= now_ms - UNDECIDED_MS]
    if len(failed) >= failures_max:
        free_ms = failed[-failures_max] + WINDOW_MS - now_ms
        raise RateLimited(retry_after=max(1, math.ceil(free_ms / 1000)))
    if len(counted) >= failures_max:
        raise RateLimited(retry_after=UNDECIDED_SECONDS)
    counted_as = _undecided(subject) if undecided else subject
    session.execute(insert(LoginFailure).values(id=attempt_id, subject=counted_as, at_ms=now_ms))


def _pass_the_gate(session: Session, *, subject: str, now_ms: int) -> None:
    """Have the subject for oneself until this transaction ends: rows that are not there yet can't be locked."""
    gate = subject[:_ID_CHARS]
    if matched(session, update(LoginFailure).where(LoginFailure.id == gate).values(at_ms=now_ms)):
        return
    try:
        session.execute(insert(LoginFailure).values(id=gate, subject=GATE, at_ms=now_ms))
    except IntegrityError as error:
        if is_duplicate(error):
            raise Again from error
        raise


def are_spent(session: Session, *, subjects: Collection[str], attempt_id: str, failures_max: int, now_ms: int) -> bool:
    """Whether these subjects have failed too often together, this attempt not counted."""
    earlier = select(func.count()).where(
        LoginFailure.subject.in_(_rows(subjects)),
        LoginFailure.at_ms > now_ms - WINDOW_MS,
        LoginFailure.id != attempt_id,
    )
    return session.execute(earlier).scalar_one() >= failures_max


def fail(session: Session, *, subject: str, attempt_id: str) -> None:
    """The attempt is decided: its password was wrong."""
    session.execute(update(LoginFailure).where(LoginFailure.id == attempt_id).values(subject=subject))


def take_back(session: Session, *, attempt_id: str) -> None:
    """The attempt was not decided after all."""
    session.execute(delete(LoginFailure).where(LoginFailure.id == attempt_id))


def forgive(session: Session, *, subjects: Collection[str]) -> None:
    """The right password was given: forget the earlier failures."""
    session.execute(delete(LoginFailure).where(LoginFailure.subject.in_(_rows(subjects))))


def _undecided(subject: str) -> str:
    """Under what a subject's attempts are counted until they are decided."""
    return tokens.digest(f"undecided\n{subject}")


def _rows(subjects: Collection[str]) -> set[str]:
    """Under what everything is counted that these subjects have tried."""
    return {*subjects, *map(_undecided, subjects)}
