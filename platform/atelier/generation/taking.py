"""A worker's next jobs: which they are, the claims of them, and the invitations that this brings about."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from atelier.contracts import outbox
from atelier.contracts.messages import RUN_IN, JobMessage
from atelier.jobs import controls, lanes, picking
from atelier.jobs import service as jobs
from atelier.jobs.lanes import LaneKey
from atelier.jobs.picking import Later
from atelier.jobs.service import Claimed

TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What a worker offers: `window` jobs of one user at most in a queue, lanes of these providers."""

    owner: str
    lease_ms: int
    window: int
    providers: Collection[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The claims, and the providers that have failed lately."""

    claimed: list[Claimed]
    doubted: frozenset[str] = frozenset()


def take(session: Session, *, asked: Sequence[str], places: Places, chosen: set[str], now_ms: int) -> Taken:
    """Claim as many jobs as there are messages, as far as there are any to run.

    `chosen` remembers what was chosen when this ran before: if that was committed and not answered, these are ours.
    """
    if chosen:
        ours = jobs.held_by(session, job_ids=sorted(chosen), owner=places.owner, lease_ms=places.lease_ms)
        if ours:
            return Taken(claimed=ours)
        chosen.clear()
    claimed: list[Claimed] = []
    doubted: frozenset[str] = frozenset()
    for _ in range(TRIES):
        picked = picking.pick(
            session,
            asked=asked,
            places=len(asked) - len(claimed),
            window=places.window,
            providers=places.providers,
        )
        doubted |= picked.doubted
        invite(session, picked.later, now_ms=now_ms)
        if not picked.job_ids:
            break
        chosen.update(picked.job_ids)
        claimed += jobs.claim(session, job_ids=picked.job_ids, owner=places.owner, lease_ms=places.lease_ms)
        if len(claimed) == len(asked) or len(chosen) == len(claimed):
            break  # Otherwise somebody has canceled one meanwhile: its place is another's.
    return Taken(claimed=claimed, doubted=doubted)


def offer(session: Session, places: Sequence[tuple[LaneKey, str]], *, now_ms: int) -> None:
    """Jobs have left these places of these lanes: invite others to them, where somebody was turned away before."""
    owed = lanes.freed(session, places)
    invite(session, [Later(queue=queue, job_id=job_id) for queue, job_id in owed], now_ms=now_ms)


def send_for(session: Session, *, kind: str, name: str, window: int, now_ms: int) -> None:
    """More may start now: invite to what waits for this queue or provider."""
    waiting = controls.invitations(session, kind=kind, name=name, window=window)
    invite(session, [Later(queue=queue, job_id=job_id) for queue, job_id in waiting], now_ms=now_ms)


def invite(session: Session, later: Iterable[Later], *, now_ms: int) -> None:
    """Send invitations."""
    at_once = [one for one in later if one.wait_ms <= 0]
    for one in later:
        if one.wait_ms > 0:
            outbox.enqueue(
                session, RUN_IN[one.queue], JobMessage(job_id=one.job_id), now_ms=now_ms, delay_ms=one.wait_ms
            )
    outbox.enqueue_many(session, [(RUN_IN[one.queue], JobMessage(job_id=one.job_id)) for one in at_once], now_ms=now_ms)
