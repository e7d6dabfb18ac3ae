"""The worker's application: every contract bound to its function."""

from functools import partial

from atelier.contracts import dead_messages, messages
from atelier.contracts.dead_messages import Dead
from atelier.dispatch import hooks, tasks
from atelier.kernel import alive, logs
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.kernel.errors import Transient
from atelier.kernel.ids import new_id
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
    providers,
    reconciliation,
    refunds,
    runtime,
    search,
    webhooks,
    workshop,
)

CELERY = runtime.celery()
log = logs.get(__name__)


def _bury(dead: Dead) -> None:
    _keep(runtime.get().database, dead)


def _bury_unknown(dead: Dead) -> None:
    # This process forks those that run tasks: it must not hand them an open connection.
    database = Database(runtime.settings().database_url, pool_size=1)
    try:
        _keep(database, dead)
    finally:
        database.close()


def _keep(database: Database, dead: Dead) -> None:
    log.error("message.dead", contract=dead.contract, reason=dead.reason, error=dead.error)
    try:
        database.transact(dead_messages.bury, dead, message_id=new_id(), now_ms=now_ms())
    except Transient:
        log.warning("message.not_kept", contract=dead.contract)


bind = partial(tasks.bind, bury=_bury)

for contract in messages.RUN.values():
    bind(CELERY, contract, generation.run)
bind(CELERY, messages.ADVANCE, generation.advance)
bind(CELERY, messages.PROVIDERS_POLL, generation.poll)
bind(CELERY, messages.PROVIDERS_TEST, providers.test)
bind(CELERY, messages.MAIL_SEND, mail.send)
bind(CELERY, messages.NOTIFICATIONS_DELIVER, notifications.deliver)
bind(CELERY, messages.WEBHOOKS_DELIVER, webhooks.deliver)
bind(CELERY, messages.FILES_CHECK, files.check)
bind(CELERY, messages.FILES_REMOVE, files.remove)
bind(CELERY, messages.FILES_COLLECT, files.collect)
bind(CELERY, messages.RESULTS_EXPIRE, files.expire)
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
hooks.on_unknown(_bury_unknown)
