"""What must be so after the mixed storm, counted from what people were told, not from what the platform thinks."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from atelier.jobs import states
from atelier.jobs.models import JOBS
from atelier.kernel.clock import SECOND_MS, db_now_ms
from atelier.kernel.database import matched
from atelier.providers.fake_kling import FakeKling
from atelier.webhooks import states as webhook_states
from atelier.webhooks.models import EVENTS
from tests.crash.mixed_people import Person
from tests.generation import storm
from tests.webhooks.receiver import Receiver


def running(session: Session) -> Counter[tuple[str, str]]:
    """How many jobs of each user run in each queue."""
    columns = JOBS.c
    rows = session.connection().execute(
        select(columns.user_id, columns.queue, func.count())
        .where(columns.state == states.RUNNING)
        .group_by(columns.user_id, columns.queue)
    )
    return Counter({(row[0], row[1]): row[2] for row in rows})


def jobs(session: Session) -> dict[str, dict[str, Any]]:
    """All that were submitted, by their ids; steps of others were not."""
    columns = JOBS.c
    some = (columns.id, columns.user_id, columns.state, columns.held, columns.used, columns.key_id, columns.retry_of)
    rows = session.connection().execute(select(*some).where(columns.parent_id.is_(None))).mappings()
    return {row["id"]: dict(row) for row in rows}


def steps(session: Session) -> Counter[tuple[str, str]]:
    """How often each step of each job was made; each has ended, and has cost nothing by itself."""
    columns = JOBS.c
    rows = session.connection().execute(
        select(columns.parent_id, columns.step, columns.state, columns.held, columns.used).where(
            columns.parent_id.is_not(None)
        )
    )
    made = Counter[tuple[str, str]]()
    for parent_id, step, state, held, used in rows:
        assert (state in states.FINISHED, held, used) == (True, 0, 0), (parent_id, step)
        made[parent_id, step] += 1
    return made


def events(session: Session) -> list[dict[str, Any]]:
    """Everything that there was to tell."""
    return [dict(row) for row in session.connection().execute(select(EVENTS)).mappings()]


def untold(session: Session) -> int:
    """How many events wait."""
    waiting = select(func.count()).select_from(EVENTS).where(EVENTS.c.state == webhook_states.WAITING)
    return session.connection().execute(waiting).scalar_one()


def hasten(session: Session) -> int:
    """Let the waits of events, and the leases of workers that died over one, be over now."""
    due = (EVENTS.c.state == webhook_states.WAITING, EVENTS.c.due_ms > db_now_ms() + SECOND_MS)
    return matched(session, update(EVENTS).where(*due).values(due_ms=db_now_ms(), wake_ms=db_now_ms()))


def assert_accepted_is_there(found: dict[str, dict[str, Any]], costs: dict[str, int]) -> dict[str, int]:
    """Whatever was accepted is there once, nothing else is but what the administrator replayed; what each may cost."""
    known = dict(costs)
    assert costs.keys() <= found.keys()
    for job_id in sorted(found.keys() - costs.keys()):
        # Ids grow with time, so a replay's origin is known already.
        assert found[job_id]["retry_of"] in known, f"nobody was told of {job_id}"
        known[job_id] = known[found[job_id]["retry_of"]]
    return known


def assert_paid(people: Sequence[Person], found: dict[str, dict[str, Any]], costs: dict[str, int]) -> None:
    """A completed job has cost what it should, others nothing; accounts and keys add up to that."""
    wrong = {
        job_id: (job, costs[job_id])
        for job_id, job in found.items()
        if job["used"] != (costs[job_id] if job["state"] == states.COMPLETED else 0) or job["used"] > job["held"]
    }
    assert wrong == {}
    for person in people:
        user_id = next((found[job_id]["user_id"] for job_id in person.costs), None)
        used = sum(job["used"] for job in found.values() if job["user_id"] == user_id)
        balance = person.ask("GET", "/api/payments/credits/balance")
        left = person.amount - used
        assert balance == {"balance": left, "held": 0, "available": left}, person.name
        key = person.ask("GET", f"/api/keys/{person.key.id}")
        by_key = sum(job["used"] for job in found.values() if job["key_id"] == person.key.id)
        assert key["credits"] == {"held": 0, "used": by_key, "left": person.key.limit - by_key}
        assert by_key <= person.key.limit
    assert {job["state"] for job in found.values()} <= set(states.FINISHED)


def assert_told(told: Sequence[dict[str, Any]], people: Sequence[Person], receivers: Iterable[Receiver]) -> None:
    """Every event has reached its address, always under its own id, or is one of an endpoint that is gone."""
    gone = {person.hooks.endpoint_id for person in people if "/gone" in person.hooks.endpoint}
    came = defaultdict[tuple[str, str], set[str]](set)
    for receiver in receivers:
        for one in receiver.received:
            came[one.path, one.said["data"]["id"]].add(one.event_id)
    assert {ids_of for ids_of, ids in came.items() if len(ids) > 1} == set()
    arrived = {event_id for ids in came.values() for event_id in ids}
    failed = [one for one in told if one["state"] == webhook_states.FAILED]
    assert {one["target_id"] for one in failed} <= gone
    assert {one["id"] for one in told if one["state"] == webhook_states.DELIVERED} <= arrived
    assert arrived <= {one["id"] for one in told}


def assert_followed(told: Sequence[dict[str, Any]], people: Sequence[Person], found: dict[str, dict[str, Any]]) -> None:
    """There is one event of each end for everybody who wanted to hear of it."""
    by_target = defaultdict[str, list[str]](list)
    for one in told:
        by_target[one["target_id"]].append(one["job_id"])
    for person in people:
        for job_id in person.followed:
            assert by_target[job_id] == [job_id]
        if person.hooks.endpoint and "/gone" not in person.hooks.endpoint:
            user_id = next(found[job_id]["user_id"] for job_id in person.costs)
            own = sorted(job_id for job_id, job in found.items() if job["user_id"] == user_id)
            assert sorted(by_target[person.hooks.endpoint_id]) == own


def assert_generated_once(fake: FakeKling, found: dict[str, dict[str, Any]]) -> int:
    """No job has cost more than one generation far away; how many there were."""
    made = storm.generations(fake)
    assert set(made.values()) <= {1}
    assert {key.removeprefix("job:") for key in made} <= found.keys()
    return len(made)
