"""Opening the secrets of webhooks, and sealing them anew: chance and keys are outside of transactions."""

from sqlalchemy.orm import Session

from atelier.kernel import clock, logs
from atelier.kernel.database import Again, Database
from atelier.kernel.keyring import Keyring
from atelier.webhooks import endpoints, keeping, signing
from atelier.webhooks.errors import SecretUnreadable
from atelier.webhooks.keeping import Drop, Kept
from atelier.webhooks.signing import Sealed

log = logs.get(__name__)


def rotate(
    session: Session, *, webhook_id: str, user_id: str, fresh: Sealed, now_ms: int, drop: Drop | None = None
) -> int | None:
    """Give an endpoint of the user's a new secret; until when an old one is good, too.

    Raises WebhookNotFound, SecretsOverlap.
    """
    endpoints.own(session, webhook_id=webhook_id, user_id=user_id)
    return keeping.rotate(session, owner_id=webhook_id, user_id=user_id, fresh=fresh, now_ms=now_ms, drop=drop)


def good(database: Database, *, owner_id: str, user_id: str, keyring: Keyring) -> list[str]:
    """The secrets that sign for this owner now; the first is made where there is none. Raises SecretUnreadable."""
    kept = database.read(keeping.find, owner_id=owner_id)
    if kept is None:
        fresh = signing.seal(keyring, signing.new_secret())
        kept = database.transact(_first, owner_id=owner_id, user_id=user_id, fresh=fresh, now_ms=clock.now_ms())
    return [signing.opened(keyring, one) for one in kept.good(now_ms=clock.now_ms())]


def _first(session: Session, *, owner_id: str, user_id: str, fresh: Sealed, now_ms: int) -> Kept:
    if keeping.find(session, owner_id=owner_id) is None:
        keeping.keep(session, owner_id=owner_id, user_id=user_id, sealed=fresh, now_ms=now_ms)
    kept = keeping.find(session, owner_id=owner_id)
    if kept is None:
        raise Again
    return kept


def seal_again(database: Database, *, keyring: Keyring) -> int:
    """Seal with the current key what the one before it has sealed; answers how many were."""
    sealed = 0
    for kept in database.read(keeping.sealed_with_others, kid=keyring.current.kid):
        try:
            current = signing.seal(keyring, signing.opened(keyring, kept.current))
            previous = signing.seal(keyring, signing.opened(keyring, kept.previous)) if kept.previous else None
        except SecretUnreadable:
            log.warning("webhooks.secret_unreadable", owner_id=kept.owner_id)
            continue
        sealed += database.transact(keeping.replace, kept, current=current, previous=previous)
    log.info("webhooks.sealed_again", secrets=sealed)
    return sealed
