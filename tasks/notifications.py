"""Delivering notifications."""

from atelier.contracts.messages import NotificationMessage
from atelier.correspondence import delivery
from tasks import runtime


def deliver(message: NotificationMessage) -> None:
    """Tell one user, once."""
    context = runtime.get()
    delivery.deliver(context.database, publisher=context.publisher, notification_id=message.notification_id)
