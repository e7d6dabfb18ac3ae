"""New users: user, account in the ledger, e-mail, log entry and perhaps the bonus, all in one transaction."""

from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from atelier.accounts import email_tokens, rules, sessions, signup, verification
from atelier.accounts.sessions import Origin
from atelier.accounts.signup import NewUser
from atelier.contracts import idempotency, oplog
from atelier.contracts.idempotency import Promised, Stored
from atelier.kernel import ids
from atelier.kernel.settings import Settings
from atelier.ledger import service as ledger
from atelier.onboarding import welcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Ids:
    """Ids that a registration may need, made outside of the transaction."""

    token_id: str = field(default_factory=ids.new_id)
    email_id: str = field(default_factory=ids.new_id)
    transfer_id: str = field(default_factory=ids.new_id)
    revocation_id: str = field(default_factory=ids.new_id)


def register(
    session: Session,
    *,
    new: NewUser,
    settings: Settings,
    fresh: Ids,
    origin: Origin,
    promised: Promised | None = None,
    now_ms: int,
) -> Stored | None:
    """Someone registers. What is stored under the same key already is answered instead, unjudged. Raises UserExists."""
    if promised and (stored := idempotency.look(session, promised.keyed)):
        return stored
    # The key comes before the address: a duplicate that waited for the address would be told that the user exists.
    idempotency.promise(session, promised, now_ms=now_ms)
    signup.create(session, new=new, now_ms=now_ms)
    ledger.open_account(session, user_id=new.id, now_ms=now_ms)
    mailed = email_tokens.Fresh(token_id=fresh.token_id, email_id=fresh.email_id, key=settings.keyring.current)
    email_tokens.send(session, user_id=new.id, purpose="verify", fresh=mailed, now_ms=now_ms)
    _log(session, user_id=new.id, origin=origin, now_ms=now_ms)
    if settings.welcome_bonus_on == "registration":
        _welcome(session, user_id=new.id, email_key=new.address.key, settings=settings, fresh=fresh, now_ms=now_ms)
    return None


def verify_email(session: Session, *, token: str, settings: Settings, fresh: Ids, now_ms: int) -> str:
    """Someone proves their address, which may earn the bonus; answers who it is. Raises TokenInvalid."""
    redeemed = verification.verify_email(session, token=token, now_ms=now_ms)
    # Web processes remember who is verified; what they may spend on can depend on it.
    sessions.hint_revoked(session, user_id=redeemed.user_id, revocation_id=fresh.revocation_id, now_ms=now_ms)
    key = rules.email(redeemed.email).key
    _welcome(session, user_id=redeemed.user_id, email_key=key, settings=settings, fresh=fresh, now_ms=now_ms)
    return redeemed.user_id


def appoint(session: Session, *, new: NewUser, amount: int, fresh: Ids, now_ms: int) -> None:
    """The operator creates a user with `amount` credits: nothing is mailed, no bonus is given. Raises UserExists."""
    signup.create(session, new=new, now_ms=now_ms)
    ledger.open_account(session, user_id=new.id, now_ms=now_ms)
    _log(session, user_id=new.id, origin=Origin(address="", user_agent=None), now_ms=now_ms)
    if amount:
        entry = ledger.Entry(
            transfer_id=fresh.transfer_id,
            key=f"adjust:appoint:{new.id}",
            user_id=new.id,
            amount=amount,
            ref_type="user",
            ref_id=new.id,
            note="command line",
        )
        ledger.adjust(session, entry, now_ms=now_ms)


def _welcome(session: Session, *, user_id: str, email_key: str, settings: Settings, fresh: Ids, now_ms: int) -> None:
    welcome.give(
        session,
        user_id=user_id,
        email_key=email_key,
        amount=settings.welcome_bonus,
        transfer_id=fresh.transfer_id,
        now_ms=now_ms,
    )


def _log(session: Session, *, user_id: str, origin: Origin, now_ms: int) -> None:
    operation = oplog.Operation(
        action="USER_REGISTER",
        user_id=user_id,
        resource_type="user",
        resource_id=user_id,
        address=origin.address or None,
        user_agent=origin.user_agent,
    )
    oplog.record(session, operation, now_ms=now_ms)
