"""A floor of workers: they take what messages invite them to, as real ones do, but one step at a time."""

from collections import deque

from pydantic_core import from_json
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from atelier.contracts import outbox
from atelier.generation import closing, taking
from atelier.generation.outcomes import Retry
from atelier.generation.taking import Places
from atelier.jobs import controls, states
from atelier.jobs.lane_models import OPEN, PROVIDER
from atelier.jobs.service import Claimed
from atelier.kernel.clock import db_now_ms, now_ms
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from tests.jobs.lifecycle import LEASE_MS, REPUBLISH_MS

PROVIDERS = ("echo", "other")


class Floor:
    """Workers with so many slots, and the messages that have reached them."""

    def __init__(self, db: Database, *, slots: int, window: int) -> None:
        self.db = db
        self.slots = slots
        self.window = window
        self.messages: deque[str] = deque()
        self.running: dict[str, Claimed] = {}

    def relay(self) -> int:
        """Bring the messages that are due; how many wait for a slot now."""
        self.messages.extend(self.db.transact(_due_messages))
        return len(self.messages)

    def take(self, *job_ids: str) -> list[Claimed]:
        """What these messages bring a worker."""
        places = Places(owner=f"w:{new_id()}", lease_ms=LEASE_MS, window=self.window, providers=PROVIDERS)
        taken = self.db.transact(
            taking.take, asked=sorted(set(job_ids)), places=places, chosen=set[str](), now_ms=now_ms()
        )
        self.running |= {one.id: one for one in taken.claimed}
        return taken.claimed

    def fill(self) -> list[Claimed]:
        """Deliver messages until no slot is free or no message is left; what was begun."""
        begun: list[Claimed] = []
        while self.relay() and len(self.running) < self.slots:
            free = self.slots - len(self.running)
            begun += self.take(*(self.messages.popleft() for _ in range(min(free, len(self.messages)))))
        return begun

    def put_back(self, claimed: Claimed, *, wait_ms: int = 0) -> bool:
        """An attempt failed, and doesn't count: the job waits again."""
        del self.running[claimed.id]
        retry = Retry(
            job_id=claimed.id,
            fence=claimed.fence,
            lane=claimed.lane,
            seq=claimed.fence * states.SEQ_STEP + 2,
            wait_ms=wait_ms,
            error_code="PROVIDER_THROTTLED",
            refund=1,
        )
        return self.db.transact(closing.put_back, retry=retry, now_ms=now_ms(), republish_ms=REPUBLISH_MS)


def _due_messages(session: Session) -> list[str]:
    columns = outbox.TABLE.c
    rows = session.connection().execute(
        select(columns.id, columns.message)
        .where(columns.available_ms <= db_now_ms(), columns.contract.startswith("generation.run."))
        .order_by(columns.id)
    )
    found = rows.all()
    session.connection().execute(delete(outbox.TABLE).where(columns.id.in_([row.id for row in found])))
    return [from_json(row.message)["jobId"] for row in found]


def reopen(session: Session, *, kind: str, name: str, reason: str | None, window: int, now_ms: int) -> None:
    """Open a queue or a provider again, and invite to what waits for it."""
    controls.hold(session, kind=kind, name=name, state=OPEN, reason=reason, now_ms=now_ms)
    taking.send_for(session, kind=kind, name=name, window=window, now_ms=now_ms)


def limit(
    session: Session,
    *,
    provider: str,
    in_flight_max: int | None,
    per_minute: int | None,
    burst: int,
    window: int,
    now_ms: int,
) -> None:
    """Give a provider these limits; they may be wider than before."""
    controls.limit(
        session, provider=provider, in_flight_max=in_flight_max, per_minute=per_minute, burst=burst, now_ms=now_ms
    )
    taking.send_for(session, kind=PROVIDER, name=provider, window=window, now_ms=now_ms)
