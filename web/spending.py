"""Who may spend credits."""

from atelier.generation.errors import EmailUnverified
from web.identity import Identity
from web.routing import Call


def spender(call: Call) -> Identity:
    """The caller, if they may spend. Raises Unauthorized, or EmailUnverified where the settings ask for a proof."""
    user = call.user
    if call.services.settings.spending_needs_verification and not user.email_verified:
        raise EmailUnverified
    return user
