"""One-time tickets that open a socket where a token can't be sent.

A ticket says whose session it stands for and is signed, so nothing is stored when it is made. When it is used, its id
is recorded in the database, and recording it twice is refused: once is once, in any process and with Redis empty.
"""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from atelier.contracts import idempotency
from atelier.contracts.idempotency import Keyed
from atelier.kernel import clock, tokens
from atelier.kernel.database import AsyncDatabase
from atelier.kernel.errors import Unauthorized
from atelier.kernel.keyring import Keyring
from web.identity import Identity

PURPOSE = "events.ticket"
TICKET_MS = clock.MINUTE_MS
PARTS = 7
USED = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A session, and until when this ticket may open a socket for it; `key_id` if it is an API key's."""

    ticket_id: str
    user_id: str
    token_id: str
    version: int
    token_expires_ms: int
    expires_ms: int
    key_id: str | None = None

    def encode(self, keyring: Keyring) -> str:
        """The ticket as text."""
        parts = (self.ticket_id, self.user_id, self.token_id, self.version, self.token_expires_ms, self.expires_ms)
        said = ".".join(map(str, (*parts, self.key_id or "")))
        return f"{said}.{tokens.derived(keyring.current, PURPOSE, said)}"


def make(identity: Identity, *, ticket_id: str, now_ms: int) -> Ticket:
    """A ticket for this session, good for a minute and never longer than the session itself."""
    return Ticket(
        ticket_id=ticket_id,
        user_id=identity.user_id,
        token_id=identity.token_id,
        version=identity.version,
        token_expires_ms=identity.expires_ms,
        expires_ms=min(now_ms + TICKET_MS, identity.expires_ms),
        key_id=identity.key_id,
    )


def decode(keyring: Keyring, text: str, *, now_ms: int) -> Ticket:
    """The ticket that we made and that is still good. Raises Unauthorized."""
    said, _, signature = text.rpartition(".")
    parts = said.split(".")
    if len(parts) != PARTS or not text.isascii() or not tokens.matches(keyring, PURPOSE, said, signature):
        raise Unauthorized
    ticket = Ticket(
        ticket_id=parts[0],
        user_id=parts[1],
        token_id=parts[2],
        version=int(parts[3]),
        token_expires_ms=int(parts[4]),
        expires_ms=int(parts[5]),
        key_id=parts[6] or None,
    )
    if now_ms >= ticket.expires_ms:
        raise Unauthorized
    return ticket


async def redeem(db: AsyncDatabase, keyring: Keyring, text: str, *, now_ms: int) -> str:
    """Use a ticket up: the Authorization header of the session that it stands for. Raises Unauthorized or Transient."""
    ticket = decode(keyring, text, now_ms=now_ms)
    await db.transact(use, ticket=ticket, now_ms=now_ms)
    token = tokens.issue(
        keyring,
        user_id=ticket.user_id,
        token_id=ticket.token_id,
        version=ticket.version,
        now_ms=now_ms,
        expires_ms=ticket.token_expires_ms,
        key_id=ticket.key_id,
    )
    return f"Bearer {token}"


def use(session: Session, *, ticket: Ticket, now_ms: int) -> None:
    """Record that the ticket is used. Raises Unauthorized when it was used before."""
    spent = Keyed(key=tokens.digest(f"{PURPOSE}\n{ticket.ticket_id}"), fingerprint=tokens.digest(ticket.user_id))
    if idempotency.find(session, spent):
        raise Unauthorized
    idempotency.store(session, spent, status=USED, answer={}, now_ms=now_ms)
