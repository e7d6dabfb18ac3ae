"""Unsubscribing from the e-mails of one category by the link that each carries: no login, any number of times."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from atelier.accounts import preferences
from atelier.accounts.errors import TokenInvalid, UserNotFound
from atelier.kernel.settings import Settings
from atelier.mail import links
from atelier.notifications.kinds import KINDS, TRANSACTIONAL

CATEGORIES = frozenset(kind.category for kind in KINDS.values()) - TRANSACTIONAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Whose e-mails of which category."""

    user_id: str
    category: str


def named(settings: Settings, *, token: str) -> Subscription:
    """What a token stands for. Raises TokenInvalid unless it is one of ours."""
    found = links.unsubscribed(settings.keyring, token)
    if found is None or found[1] not in CATEGORIES:
        raise TokenInvalid
    return Subscription(user_id=found[0], category=found[1])


def end(session: Session, *, subscription: Subscription, now_ms: int) -> None:
    """Mail nothing of this category any longer. Says nothing about whether there is still such a user."""
    switched: preferences.Changes = {"notifications": {subscription.category: {"email": False}}}
    try:
        preferences.change(session, user_id=subscription.user_id, changes=switched, now_ms=now_ms)
    except UserNotFound:
        return
