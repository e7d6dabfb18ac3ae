"""Telling the world: one message, one target, its events one after the other.

An event is claimed before the call and settled after it, each in a transaction of its own; nothing is held open while
somebody else's machine thinks. When this process dies in between, the lease ends, and the event is told again under
the same id: at least once.
"""

import random
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy.orm import Session

from atelier.callouts import targets
from atelier.callouts.poster import Answer, NotAnswered, Poster
from atelier.correspondence import webhook_payloads, webhook_secrets
from atelier.kernel import clock, faults, ids, logs
from atelier.kernel.database import Database
from atelier.kernel.errors import Transient
from atelier.kernel.keyring import Keyring
from atelier.live import counters
from atelier.live.publisher import Publisher
from atelier.notifications import service as notifications
from atelier.notifications.service import Notice
from atelier.webhooks import endpoints, events, signing, states
from atelier.webhooks.errors import SecretUnreadable
from atelier.webhooks.events import Claimed, Heard
from atelier.webhooks.models import ANSWER_CHARS

ROUND_MAX = 10
"""So many events of one target by one message; the rest by another, behind those of others."""
BUSY_WAIT_MS = 10 * clock.SECOND_MS
SECRET_UNREADABLE = "SECRET_UNREADABLE"  # noqa: S105 - an error's name
BUG = "INTERNAL"
OURS = frozenset({SECRET_UNREADABLE, BUG, events.LOST})
"""Errors that an endpoint has no part in."""
log = logs.get("webhooks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What became of one attempt: delivered, later or failed."""

    outcome: str
    disabled: str | None = None


class Lanes:
    """How many calls may be made at once, in all and for one user: slow receivers must not take every thread."""

    def __init__(self, *, total: int, per_user: int) -> None:
        self._total = total
        self._per_user = per_user
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def entered(self, user_id: str) -> Generator[bool]:
        """Whether there is room, which is taken for as long as the block lasts."""
        with self._lock:
            room = self._taken.total() < self._total and self._taken[user_id] < self._per_user
            self._taken[user_id] += room
        try:
            yield room
        finally:
            with self._lock:
                self._taken[user_id] -= room
                self._taken += Counter()  # Forgets those who have none.


class Deliverer:
    """Delivers for the threads of one worker process. `address` is where this API is reached."""

    def __init__(
        self,
        *,
        database: Database,
        publisher: Publisher,
        poster: Poster,
        keyring: Keyring,
        address: str,
        calls_max: int,
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._poster = poster
        self._keyring = keyring
        self._address = address
        self._lanes = Lanes(total=max(1, calls_max), per_user=max(1, calls_max // 2))

    def deliver(self, target_id: str) -> int:
        """Tell a target what is due; how many attempts were made. Raises Transient when the database can't serve."""
        user_id = self._database.read(events.owner, target_id=target_id)
        if user_id is None:
            return 0
        with self._lanes.entered(user_id) as room:
            if not room:
                self._database.transact(events.later, target_id=target_id, wait_ms=BUSY_WAIT_MS)
                return 0
            for made in range(ROUND_MAX):
                if not self._next(target_id):
                    return made
        self._database.transact(events.tell, [target_id], now_ms=clock.now_ms())
        return ROUND_MAX

    def _next(self, target_id: str) -> Told | None:
        claimed = self._database.transact(
            events.claim, target_id=target_id, attempt_id=ids.new_id(), now_ms=clock.now_ms()
        )
        if claimed is None:
            return None
        faults.point("webhook.after_claim")
        heard, gone = self._heard(claimed)
        faults.point("webhook.after_post")
        told = self._database.transact(
            settle, claimed, heard=heard, gone=gone, notice_id=ids.new_id(), now_ms=clock.now_ms()
        )
        self._publisher.count(counters.add([counters.hooked(outcome=told.outcome, reason=heard.error or "none")]))
        log.info(
            "webhooks.attempted",
            event_id=claimed.event_id,
            attempt=claimed.attempt,
            outcome=told.outcome,
            status=heard.status,
            error=heard.error,
            duration_ms=heard.duration_ms,
            disabled=told.disabled,
        )
        return told

    def _heard(self, claimed: Claimed) -> tuple[Heard, bool]:
        """How the attempt went, and whether the other side wants to hear nothing any more."""
        begun = clock.now_ms()
        try:
            return self._tried(claimed, since_ms=begun)
        except SecretUnreadable:
            return _unanswered(claimed, SECRET_UNREADABLE, since_ms=begun), False
        except NotAnswered as failure:
            return _unanswered(claimed, failure.reason, since_ms=begun), False
        except Transient:
            raise
        except Exception:
            log.exception("webhooks.bug", event_id=claimed.event_id)
            return _unanswered(claimed, BUG, since_ms=begun), False

    def _tried(self, claimed: Claimed, *, since_ms: int) -> tuple[Heard, bool]:
        if claimed.url is None:
            return Heard(error=states.ENDPOINT_DISABLED), False
        if claimed.tries > states.ATTEMPTS_MAX:
            # Nobody lived to say how those before went: this event must not hold up the others for ever.
            return Heard(error=events.LOST), False
        body = self._database.read(webhook_payloads.body, claimed, address=self._address)
        if body is None:
            return Heard(error=states.NOTHING_TO_TELL), False
        secrets = webhook_secrets.good(
            self._database, owner_id=claimed.owner_id, user_id=claimed.user_id, keyring=self._keyring
        )
        signed = signing.headers(secrets, event_id=claimed.event_id, timestamp=since_ms // clock.SECOND_MS, body=body)
        answer = self._poster.post(claimed.url, body=body, headers=signed)
        return _answered(claimed, answer, since_ms=since_ms), answer.status == 410


def settle(session: Session, claimed: Claimed, *, heard: Heard, gone: bool, notice_id: str, now_ms: int) -> Told:
    """Write how an attempt went; an endpoint that is gone, or only fails, is turned off, and its user told."""
    mine = events.settle(session, claimed, heard, now_ms=now_ms)
    outcome = "delivered" if heard.error is None else "failed" if heard.wait_ms is None else "later"
    if not mine or claimed.endpoint_id is None or claimed.url is None or heard.error in OURS:
        return Told(outcome=outcome)
    if heard.error is None:
        endpoints.succeeded(session, webhook_id=claimed.endpoint_id)
        return Told(outcome=outcome)
    if not claimed.in_order and not gone:
        return Told(outcome=outcome)  # Who tries out something by hand sees how it goes.
    reason = endpoints.failed(session, webhook_id=claimed.endpoint_id, gone=gone, now_ms=now_ms)
    if reason is not None:
        notice = Notice(
            id=notice_id,
            user_id=claimed.user_id,
            kind=f"webhook_{reason}",
            data={"address": targets.origin(claimed.url)},
            ref_type="webhook",
            ref_id=claimed.endpoint_id,
        )
        notifications.notify(session, notice, now_ms=now_ms)
    return Told(outcome=outcome, disabled=reason)


def _answered(claimed: Claimed, answer: Answer, *, since_ms: int) -> Heard:
    error = _error(answer.status)
    final = error is None or answer.status == 410
    return Heard(
        status=answer.status,
        answer=_shown(answer.body),
        error=error,
        duration_ms=max(0, clock.now_ms() - since_ms),
        wait_ms=None if final else _wait_ms(claimed, answer.retry_after),
    )


def _unanswered(claimed: Claimed, reason: str, *, since_ms: int) -> Heard:
    return Heard(error=reason, duration_ms=max(0, clock.now_ms() - since_ms), wait_ms=_wait_ms(claimed, None))


def _wait_ms(claimed: Claimed, asked: float | None) -> int | None:
    # A ping is for whoever looks at its answer now.
    if claimed.tries >= states.ATTEMPTS_MAX or claimed.type == states.PING:
        return None
    return states.wait_ms(tries=claimed.tries, jitter=random.random(), asked_seconds=asked)  # noqa: S311 - no secret


def _error(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return "REDIRECTED"
    return "ENDPOINT_GONE" if status == 410 else "REFUSED"


def _shown(body: bytes) -> str:
    text = body[: ANSWER_CHARS * 4].decode("utf-8", "replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return text[:ANSWER_CHARS]
