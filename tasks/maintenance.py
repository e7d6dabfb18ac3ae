"""What runs by the clock. Each may run twice, late or not at all for a while without harm."""

from atelier.contracts import queues
from atelier.contracts.messages import Tick
from atelier.correspondence import webhook_secrets
from atelier.dispatch.depth import BrokerUnavailable, depths
from atelier.generation import doctor, family, probing, retention, verdicts
from atelier.kernel import logs
from atelier.kernel.clock import now_ms
from atelier.mail import queue
from atelier.notifications import service as notifications
from atelier.orders import refunds, resolutions
from atelier.payments import inbox
from atelier.webhooks import events as webhooks
from tasks import refunds as refund_tasks
from tasks import runtime
from tasks.alone import alone

REQUEUES = (
    probing.requeue_overdue,
    family.look_again,
    queue.requeue_overdue,
    notifications.requeue_overdue,
    inbox.requeue_overdue,
    refunds.requeue_overdue,
    resolutions.requeue_overdue,
    webhooks.requeue_overdue,
)
log = logs.get(__name__)


def sweep(_tick: Tick) -> None:
    """Publish again what was lost, take over what was abandoned: jobs, e-mails, notifications and payments."""
    try:
        waiting = depths(runtime.celery(), queues.GENERATION.values())
    except BrokerUnavailable:
        waiting = None
    runtime.get().sweeper.sweep(waiting)
    for requeue in REQUEUES:
        runtime.get().database.transact(requeue, now_ms=now_ms())
    refund_tasks.collect()


def check(_tick: Tick) -> None:
    """Let the doctor look at what is new, every hour at everything, and store the verdict.

    Looking at everything may last longer than a period: the next tick finds it at work and leaves the slot to others.
    """
    with alone(runtime.settings().data_dir / "doctor.lock") as mine:
        if mine:
            _check()


def _check() -> None:
    database = runtime.get().database
    since_ms = database.read(verdicts.since, now_ms=now_ms())
    report = database.snapshot(doctor.examine, now_ms=now_ms(), since_ms=since_ms)
    database.transact(verdicts.store, report, now_ms=now_ms())
    for finding in report.findings:
        tell = log.error if finding.severity == "violation" else log.warning
        tell("doctor.finding", check=finding.check, severity=finding.severity, subject=finding.subject)


def prune(_tick: Tick) -> None:
    """Delete what has outlived its use, and seal anew what a key seals that is going."""
    webhook_secrets.seal_again(runtime.get().database, keyring=runtime.get().settings.keyring)
    retention.prune(runtime.get().database, operations_kept_days=runtime.get().settings.operations_kept_days)
