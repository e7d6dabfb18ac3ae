"""The worker's application: every contract bound to its function."""

from atelier.contracts import messages
from atelier.dispatch import hooks
from atelier.dispatch.tasks import bind
from atelier.kernel import alive, logs
from tasks import (
    analytics,
    audience,
    files,
    generation,
    mail,
    maintenance,
    marketplace,
    notifications,
    payments,
    reconciliation,
    refunds,
    runtime,
    search,
    webhooks,
    workshop,
)

CELERY = runtime.celery()

for contract in messages.RUN.values():
    bind(CELERY, contract, generation.run)
bind(CELERY, messages.PROVIDERS_POLL, generation.poll)
bind(CELERY, messages.MAIL_SEND, mail.send)
bind(CELERY, messages.NOTIFICATIONS_DELIVER, notifications.deliver)
bind(CELERY, messages.WEBHOOKS_DELIVER, webhooks.deliver)
bind(CELERY, messages.FILES_CHECK, files.check)
bind(CELERY, messages.FILES_REMOVE, files.remove)
bind(CELERY, messages.FILES_COLLECT, files.collect)
bind(CELERY, messages.JOBS_SWEEP, maintenance.sweep)
bind(CELERY, messages.LEDGER_CHECK, maintenance.check)
bind(CELERY, messages.ANALYTICS_ROLL, analytics.roll)
bind(CELERY, messages.ANALYTICS_VERIFY, analytics.verify)
bind(CELERY, messages.WORKSHOP_PURGE, workshop.purge)
bind(CELERY, messages.DOWNLOADS_COUNT, audience.count_downloads)
bind(CELERY, messages.SEARCH_REFRESH, search.refresh)
bind(CELERY, messages.MARKETPLACE_SHARE, marketplace.share)
bind(CELERY, messages.MARKETPLACE_EXPIRE, marketplace.expire)
bind(CELERY, messages.PAYMENTS_SETTLE, payments.settle)
bind(CELERY, messages.PAYMENTS_REFUND, refunds.refund)
bind(CELERY, messages.PAYMENTS_RETURN, payments.send_back)
bind(CELERY, messages.PAYMENTS_WATCH, reconciliation.watch)
bind(CELERY, messages.PAYMENTS_COMPARE, reconciliation.compare)
bind(CELERY, messages.SYSTEM_PRUNE, maintenance.prune)


def _configure_logs() -> None:
    logs.configure(runtime.settings(), role=alive.role())


def _alive() -> None:
    alive.touch(runtime.settings().data_dir)


def _give_back() -> None:
    # Threads run in this process and are told to stop; a pool of processes finishes its short jobs by itself.
    if made := runtime.made():
        made.runner.shut_down()
        made.poller.stop()


hooks.install(configure_logs=_configure_logs, alive=_alive, shutting_down=_give_back)
