"""Tokens and links in e-mails, made from the row's `ref` each time they are needed and stored nowhere."""

from urllib.parse import quote

from atelier.kernel import tokens
from atelier.kernel.keyring import Key, Keyring
from atelier.kernel.settings import Settings
from atelier.mail.errors import MailUnavailable

UNSUBSCRIBE = "/api/notifications/unsubscribe"
UNSUBSCRIBING = "mail:unsubscribe"
PAGES = {"verify_email": "/verify-email", "reset_password": "/reset-password"}


def token(key: Key, *, template: str, ref: str) -> str:
    """The raw single-use token that the e-mail of this template and cause carries."""
    return tokens.derived(key, f"mail:{template}", ref)


def front_end(settings: Settings) -> str:
    """Where users are sent: the first front end, else our own address."""
    return settings.frontend_urls[0].rstrip("/") if settings.frontend_urls else own(settings)


def own(settings: Settings) -> str:
    """Where this API is reached."""
    return (settings.public_url or f"http://{settings.host}:{settings.port}").rstrip("/")


def unsubscribe(settings: Settings, *, user_id: str, category: str) -> str:
    """The address that ends one user's e-mails of one category, for as long as the key that signs it is active."""
    signed = unsubscribe_token(settings.keyring.current, user_id=user_id, category=category)
    return f"{own(settings)}{UNSUBSCRIBE}?token={signed}"


def unsubscribed(keyring: Keyring, token: str) -> tuple[str, str] | None:
    """The user and the category that an unsubscribing token names, or None when it is none of ours."""
    if not token.isascii():
        return None
    said, _, signature = token.rpartition(".")
    user_id, _, category = said.partition(".")
    return (user_id, category) if tokens.matches(keyring, UNSUBSCRIBING, said, signature) else None


def unsubscribe_token(key: Key, *, user_id: str, category: str) -> str:
    """Names a user and a category, and can't be made by anyone else."""
    said = f"{user_id}.{category}"
    return f"{said}.{tokens.derived(key, UNSUBSCRIBING, said)}"


def link(settings: Settings, *, template: str, ref: str, kid: str | None = None) -> str | None:
    """The page that the e-mail points to, with its token; None for templates that carry none.

    `kid` names the key that the token was made with when the e-mail was queued; it may not be the current one any
    longer. Raises MailUnavailable when this process doesn't have that key: another one may have it.
    """
    page = PAGES.get(template)
    if page is None:
        return None
    key = next(iter(settings.keyring.named(kid)), None)
    if key is None:
        message = "made with a key that is not active here"
        raise MailUnavailable(message)
    return f"{front_end(settings)}{page}?token={quote(token(key, template=template, ref=ref))}"
