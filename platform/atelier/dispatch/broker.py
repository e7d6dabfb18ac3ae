"""The Celery application of every role, and the settings that hold. The only module that knows Celery's configuration.

Every message is about something that is due in the database, and is sent again when it was lost; so on Redis a delivery
is remembered by the worker that has it and by nobody else. Kombu would write each one down in Redis, cross it out when
it is acknowledged and restore what is left after a while: two transactions a task, a quarter of a busy worker's time,
and the two places in which kombu 5.7 dies when the broker restarts under load. It also makes a Redis client for every
command, which was measured as a tenth of that time. The decision and its figures: docs/decisions/0019.
"""

from collections.abc import Callable
from typing import Any, cast
from urllib.parse import quote

from celery import Celery
from kombu import Queue
from kombu.transport import redis as kombu_redis
from redis import Redis, ResponseError, connection
from typing_extensions import override

from atelier.contracts import messages, queues
from atelier.kernel.settings import Settings

Application = Celery
KEY_PREFIX = "atelier:broker:"


class ForgettingQoS(kombu_redis.QoS):
    """Deliveries are remembered in this process only, for as long as it takes to handle them."""

    @override
    def append(self, message: Any, delivery_tag: Any) -> None:
        """Remember a delivery."""
        super(kombu_redis.QoS, self).append(message, delivery_tag)

    @override
    def ack(self, delivery_tag: Any) -> None:
        """Forget it."""
        super(kombu_redis.QoS, self).ack(delivery_tag)

    @override
    def reject(self, delivery_tag: Any, requeue: bool = False) -> None:
        """Forget it, too: whatever it was about is due again in the database."""
        super(kombu_redis.QoS, self).ack(delivery_tag)

    @override
    def restore_visible(self, start: int = 0, num: int = 10, interval: int = 10) -> None:
        """There is nothing to restore."""


class Channel(kombu_redis.Channel):
    """A Redis channel that survives its own end, and that makes its client once instead of once per command."""

    QoS = ForgettingQoS
    do_restore = False

    _kept: Redis | None = None

    @override
    def _has_queue(self, queue: str, **_: Any) -> bool:
        """Whether the queue can be asked about: kombu looks for its key without our prefix, and never finds it.

        One that was never used is as long as one that is empty.
        """
        return True

    def _create_client(self, asynchronous: bool = False) -> Redis:  # noqa: FBT001, FBT002 - kombu's signature
        create = cast("Callable[..., Redis]", super()._create_client)  # type: ignore[misc]  # the stub leaves it out
        if asynchronous:
            return create(asynchronous=True)
        # A client is a thin face of the pool, safe to share between threads; a new pool gets a new one.
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = create()
        return self._kept


def mend_transport() -> None:
    """Have kombu use our channel for Redis; harmless when done twice or when another broker is used.

    What the server refuses is a broker that is away, too: it became a replica, its memory or its disk is full. Kombu
    thinks of a fault in what was asked, at which a worker ends (as if it had been told to, with status 0) instead of
    connecting again until the server takes what it is sent.
    """
    transport = kombu_redis.Transport
    transport.Channel = Channel
    transport.connection_errors = (*dict.fromkeys((*transport.connection_errors, ResponseError)),)
    transport.channel_errors = tuple(kind for kind in transport.channel_errors if kind is not ResponseError)


def build(settings: Settings) -> Celery:
    """The application, for workers, relay, beat and Flower."""
    mend_transport()
    address = _as_kombu_says(settings.broker_url)
    app = Celery("atelier", broker=address, backend=None)
    on_redis = address.startswith(("redis", "rediss", "sentinel"))
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        result_accept_content=["json"],
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_acks_late=True,
        task_acks_on_failure=True,
        task_acks_on_timeout=True,
        # Retries are the database's: a message that kills its worker must not come back for ever.
        task_reject_on_worker_lost=False,
        task_retry_on_worker_lost=False,
        task_create_missing_queues=False,
        task_queues=[Queue(name) for name in queues.ALL],
        task_default_queue=queues.SYSTEM,
        task_routes={contract.name: {"queue": contract.queue} for contract in messages.ALL.values()},
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=on_redis,
        worker_eta_task_limit=100,
        worker_max_tasks_per_child=200,
        worker_max_memory_per_child=600_000,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=3,
        broker_pool_limit=4,
        broker_pool_acquire_timeout=3,
        task_publish_retry=False,
        broker_transport_options=_transport_options() if on_redis else {},
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=15,
        worker_enable_soft_shutdown_on_idle=False,
        worker_send_task_events=True,
        worker_consumer="atelier.dispatch.consumer:Consumer",
        task_send_sent_event=False,
        worker_hijack_root_logger=False,
        worker_enable_remote_control=True,
        enable_utc=True,
        timezone="UTC",
        beat_sync_every=1,
        beat_max_loop_interval=5,
    )
    return app


def _as_kombu_says(address: str) -> str:
    """A broker's address as kombu wants it: it names the socket's file in its own way, and the database in another."""
    if not address.startswith("unix://"):
        return address
    parts = cast("Callable[[str], dict[str, Any]]", connection.parse_url)(address)
    who = ":".join(quote(str(parts.get(part, "")), safe="") for part in ("username", "password"))
    path = quote(str(parts.get("path", "")))
    return f"redis+socket://{f'{who}@' if who != ':' else ''}{path}?virtual_host={parts.get('db', 0)}"


def _transport_options() -> dict[str, Any]:
    return {
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "global_keyprefix": KEY_PREFIX,
    }
