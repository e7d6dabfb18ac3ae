"""Sending e-mail."""

from atelier.contracts.messages import MailMessage
from atelier.mail import delivery
from tasks import runtime


def send(message: MailMessage) -> None:
    """Send one e-mail, once it is due."""
    context = runtime.get()
    delivery.deliver(context.database, mailer=context.mailer, settings=context.settings, email_id=message.email_id)
