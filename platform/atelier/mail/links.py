"""Tokens and links in e-mails, made from the row's `ref` each time they are needed and stored nowhere."""

import hmac
from urllib.parse import quote

from atelier.kernel import tokens
from atelier.kernel.settings import Settings

UNSUBSCRIBE = "/api/notifications/unsubscribe"
PAGES = {"verify_email": "/verify-email", "reset_password": "/reset-password"}


def token(secret: str, *, template: str, ref: str) -> str:
    """The raw single-use token that the e-mail of this template and cause carries."""
    return tokens.derived(secret, f"mail:{template}", ref)


def front_end(settings: Settings) -> str:
    """Where users are sent: the first front end, else our own address."""
    return settings.frontend_urls[0].rstrip("/") if settings.frontend_urls else own(settings)


def own(settings: Settings) -> str:
    """Where this API is reached."""
    return (settings.public_url or f"http://{settings.host}:{settings.port}").rstrip("/")


def unsubscribe(settings: Settings, *, user_id: str, category: str) -> str:
    """The address that ends one user's e-mails of one category, for as long as the secret is the same."""
    secret = settings.jwt_secret.get_secret_value()
    return f"{own(settings)}{UNSUBSCRIBE}?token={unsubscribe_token(secret, user_id=user_id, category=category)}"


def unsubscribed(secret: str, token: str) -> tuple[str, str] | None:
    """The user and the category that an unsubscribing token names, or None when it is none of ours."""
    if not token.isascii():
        return None
    user_id, _, rest = token.partition(".")
    category = rest.partition(".")[0]
    expected = unsubscribe_token(secret, user_id=user_id, category=category)
    return (user_id, category) if hmac.compare_digest(expected, token) else None


def unsubscribe_token(secret: str, *, user_id: str, category: str) -> str:
    """Names a user and a category, and can't be made by anyone else."""
    return f"{user_id}.{category}.{tokens.derived(secret, 'mail:unsubscribe', f'{user_id}.{category}')}"


def link(settings: Settings, *, template: str, ref: str) -> str | None:
    """The page that the e-mail points to, with its token; None for templates that carry none."""
    page = PAGES.get(template)
    if page is None:
        return None
    raw = token(settings.jwt_secret.get_secret_value(), template=template, ref=ref)
    return f"{front_end(settings)}{page}?token={quote(raw)}"
