"""Telling outgoing webhooks."""

from atelier.contracts.messages import WebhookMessage
from tasks import runtime


def deliver(message: WebhookMessage) -> None:
    """Tell one target what is due."""
    runtime.get().deliverer.deliver(message.target_id)
