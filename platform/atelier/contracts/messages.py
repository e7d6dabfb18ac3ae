"""What roles say to each other: a name, a queue and a message that holds ids only.

Web, relay and schedules send by contract and never import a task. A new field is optional first, so that old workers
go on understanding new messages.
"""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from atelier.contracts import queues


class Message(BaseModel):
    """Frozen, tolerant of fields that are newer than this process."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Contract(Generic[M]):
    """A named kind of message and the queue that it travels through."""

    name: str
    queue: str
    message: type[M]

    def dump(self, message: M) -> dict[str, Any]:
        """The message as JSON values."""
        return message.model_dump(mode="json", by_alias=True)


class JobMessage(Message):
    """One job."""

    job_id: str


class MailMessage(Message):
    """One row of the e-mails."""

    email_id: str


class NotificationMessage(Message):
    """One notification."""

    notification_id: str


class FileMessage(Message):
    """One row of the files."""

    file_id: str


class PaymentMessage(Message):
    """One message of a gateway, as it lies in the inbox."""

    event_id: str


class RefundMessage(Message):
    """One refund."""

    refund_id: str


class CaseMessage(Message):
    """One case whose money is going back."""

    case_id: str


class WebhookMessage(Message):
    """One target of outgoing webhooks: an endpoint, or a job that has one of its own."""

    target_id: str


class ProbeMessage(Message):
    """One test of a provider."""

    probe_id: str


class Tick(Message):
    """A period has passed; everything else is read from the database."""


RUN_TEXT = Contract("generation.run.text", queues.GENERATION_TEXT, JobMessage)
RUN_IMAGE = Contract("generation.run.image", queues.GENERATION_IMAGE, JobMessage)
RUN_AUDIO = Contract("generation.run.audio", queues.GENERATION_AUDIO, JobMessage)
RUN_VIDEO = Contract("generation.run.video", queues.GENERATION_VIDEO, JobMessage)
RUN_COMPOSE = Contract("generation.run.compose", queues.GENERATION_COMPOSE, JobMessage)
ADVANCE = Contract("generation.advance", queues.GENERATION_COMPOSE, JobMessage)
MAIL_SEND = Contract("mail.send", queues.MAIL, MailMessage)
NOTIFICATIONS_DELIVER = Contract("notifications.deliver", queues.MAIL, NotificationMessage)
WEBHOOKS_DELIVER = Contract("webhooks.deliver", queues.WEBHOOKS, WebhookMessage)
FILES_CHECK = Contract("files.check", queues.FILES, FileMessage)
FILES_REMOVE = Contract("files.remove", queues.FILES, FileMessage)
FILES_COLLECT = Contract("files.collect", queues.FILES, Tick)
RESULTS_EXPIRE = Contract("results.expire", queues.FILES, Tick)
PROVIDERS_POLL = Contract("providers.poll", queues.PROVIDER_POLL, Tick)
PROVIDERS_TEST = Contract("providers.test", queues.PROVIDER_POLL, ProbeMessage)
JOBS_SWEEP = Contract("jobs.sweep", queues.SYSTEM, Tick)
LEDGER_CHECK = Contract("ledger.check", queues.SYSTEM, Tick)
ANALYTICS_ROLL = Contract("analytics.roll", queues.ANALYTICS, Tick)
ANALYTICS_VERIFY = Contract("analytics.verify", queues.ANALYTICS, Tick)
WORKSHOP_PURGE = Contract("workshop.purge", queues.SYSTEM, Tick)
DOWNLOADS_COUNT = Contract("downloads.count", queues.ANALYTICS, Tick)
SEARCH_REFRESH = Contract("search.refresh", queues.SYSTEM, Tick)
MARKETPLACE_SHARE = Contract("marketplace.share", queues.MONEY, Tick)
MARKETPLACE_EXPIRE = Contract("marketplace.expire", queues.MONEY, Tick)
PAYMENTS_SETTLE = Contract("payments.settle", queues.MONEY, PaymentMessage)
PAYMENTS_REFUND = Contract("payments.refund", queues.MONEY, RefundMessage)
PAYMENTS_RETURN = Contract("payments.return", queues.MONEY, CaseMessage)
PAYMENTS_WATCH = Contract("payments.watch", queues.MONEY, Tick)
PAYMENTS_COMPARE = Contract("payments.compare", queues.MONEY, Tick)
SYSTEM_PRUNE = Contract("system.prune", queues.SYSTEM, Tick)

RUN = {"text": RUN_TEXT, "image": RUN_IMAGE, "audio": RUN_AUDIO, "video": RUN_VIDEO, queues.COMPOSE: RUN_COMPOSE}
RUN_IN = {contract.queue: contract for contract in RUN.values()}
_ALL: tuple[Contract[Any], ...] = (
    RUN_TEXT,
    RUN_IMAGE,
    RUN_AUDIO,
    RUN_VIDEO,
    RUN_COMPOSE,
    ADVANCE,
    MAIL_SEND,
    NOTIFICATIONS_DELIVER,
    WEBHOOKS_DELIVER,
    FILES_CHECK,
    FILES_REMOVE,
    FILES_COLLECT,
    RESULTS_EXPIRE,
    PROVIDERS_POLL,
    PROVIDERS_TEST,
    JOBS_SWEEP,
    LEDGER_CHECK,
    ANALYTICS_ROLL,
    ANALYTICS_VERIFY,
    WORKSHOP_PURGE,
    DOWNLOADS_COUNT,
    SEARCH_REFRESH,
    MARKETPLACE_SHARE,
    MARKETPLACE_EXPIRE,
    PAYMENTS_SETTLE,
    PAYMENTS_REFUND,
    PAYMENTS_RETURN,
    PAYMENTS_WATCH,
    PAYMENTS_COMPARE,
    SYSTEM_PRUNE,
)
ALL = {contract.name: contract for contract in _ALL}
