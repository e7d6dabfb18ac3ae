"""Operators hold queues and providers back, limit and test providers, and let them go again."""

import pytest

from atelier.contracts import dead_messages, messages
from atelier.contracts.dead_messages import Dead
from atelier.generation import probing
from atelier.generation.prober import Prober
from atelier.kernel.clock import now_ms
from atelier.kernel.ids import new_id
from atelier.providers.echo import Echo
from tests.administration.conftest import Json, Office
from tests.administration.dead import PRICE, WHY, Ward
from tests.live.harness import Person

QUEUES, PROVIDERS = "/api/admin/queues", "/api/admin/providers"
TEXT = "generation.text"


@pytest.fixture
def ward(office: Office) -> Ward:
    return Ward(office)


async def standing(ward: Ward, path: str, name: str) -> Json:
    """One queue or provider, as the list shows it."""
    _, answer = await ward.office.ask("GET", path)
    (rows,) = answer.values()
    (found,) = [one for one in rows if one["name"] == name]
    return dict(found)


async def submit(ward: Ward, person: Person) -> tuple[int, Json]:
    """Ask for a job of the agent, as its user."""
    body = {"agentId": ward.agent_id, "inputData": {"prompt": "松鼠"}}
    return await ward.office.ask("POST", "/api/workshop/generate", body, who=person)


@pytest.mark.parametrize(("path", "name"), [(QUEUES, TEXT), (PROVIDERS, "echo")])
async def test_what_is_paused_starts_nothing_and_loses_nothing(
    ward: Ward, someone: Person, path: str, name: str
) -> None:
    running, waiting = (ward.shop.submit(someone.id, 0) for _ in range(2))
    claimed = ward.shop.claim_one(running)
    status, held = await ward.office.ask("POST", f"{path}/{name}/pause", WHY)
    assert (status, held["state"], held["drained"], held["reason"]) == (200, "paused", False, WHY["reason"])
    assert (held["waiting"], held["running"]) == (1, 1)
    assert (await submit(ward, someone))[0] == 202
    assert ward.shop.complete(claimed)
    _, shown = await ward.office.ask("GET", f"/api/admin/jobs/{waiting}")
    blocked = "queue_paused" if path == QUEUES else "provider_capacity"
    assert shown["explain"]["blockedBy"] == blocked
    ward.shop.relay()
    status, opened = await ward.office.ask("POST", f"{path}/{name}/resume", WHY)
    assert (status, opened["state"]) == (200, "open")
    assert ward.shop.relay() > 0
    action = "QUEUE" if path == QUEUES else "PROVIDER"
    assert [one["details"] for one in ward.logged(f"ADMIN_{action}_PAUSE")] == [{"name": name, **WHY}]
    assert len(ward.logged(f"ADMIN_{action}_RESUME")) == 1


@pytest.mark.parametrize(("path", "name"), [(QUEUES, TEXT), (PROVIDERS, "echo")])
async def test_what_drains_accepts_nothing_and_is_drained_at_its_end(
    ward: Ward, someone: Person, path: str, name: str
) -> None:
    failed = ward.failed(someone)
    job_id = ward.shop.submit(someone.id, 0)
    _, held = await ward.office.ask("POST", f"{path}/{name}/drain", WHY)
    assert (held["state"], held["drained"], held["waiting"]) == ("draining", False, 1)
    status, problem = await submit(ward, someone)
    assert (status, problem["code"]) == (503, "DRAINING")
    status, problem = await ward.replay(failed)
    assert (status, problem["code"]) == (503, "DRAINING")
    assert (await ward.replay_many())[1]["refused"] == {"DRAINING": 1}
    claimed = ward.shop.claim_one(job_id)
    assert not (await standing(ward, path, name))["drained"]
    assert ward.shop.complete(claimed)
    assert (await standing(ward, path, name))["drained"]
    assert (await ward.office.ask("POST", f"{path}/{name}/resume", WHY))[0] == 200
    assert (await submit(ward, someone))[0] == 202
    assert (await ward.replay(failed))[0] == 202


async def test_a_provider_shows_its_limits_and_how_it_did(ward: Ward, someone: Person) -> None:
    ward.failed(someone, error_code="PROVIDER_TIMEOUT")
    assert ward.shop.complete(ward.shop.claim_one(ward.shop.submit(someone.id, PRICE)))
    body = {**WHY, "inFlightMax": 2, "perMinute": 30, "burst": 3}
    status, shown = await ward.office.ask("PUT", f"{PROVIDERS}/echo/limits", body)
    assert (status, shown["limits"]) == (200, {"inFlightMax": 2, "perMinute": 30, "burst": 3})
    assert shown["outcomes"] == {"PROVIDER_TIMEOUT": 1, "completed": 1}
    assert shown["breaker"] == {"failures": 0, "suspect": False, "closedUntil": None, "errorCode": None}
    _, shown = await ward.office.ask("PUT", f"{PROVIDERS}/echo/limits", WHY)
    assert shown["limits"] == {"inFlightMax": None, "perMinute": None, "burst": 1}
    assert [one["details"]["in_flight_max"] for one in ward.logged("ADMIN_PROVIDER_LIMITS")] == [2, None]


@pytest.mark.parametrize(("provider", "outcome"), [("echo", "ok"), ("local-video", "PROVIDER_UNKNOWN")])
async def test_a_provider_is_tested_by_a_worker(ward: Ward, provider: str, outcome: str) -> None:
    status, asked = await ward.office.ask("POST", f"{PROVIDERS}/{provider}/test", WHY)
    assert (status, asked["outcome"]) == (202, None)
    assert (await standing(ward, PROVIDERS, provider))["lastTest"] == asked
    prober = Prober(ward.shop.db, providers={"echo": Echo()}, later={})
    for _ in range(2):
        prober.test(asked["id"])
    tested = (await standing(ward, PROVIDERS, provider))["lastTest"]
    assert (tested["outcome"], tested["finishedAt"] is not None) == (outcome, True)
    assert len(ward.logged("ADMIN_PROVIDER_TEST")) == 1


async def test_a_test_that_no_worker_took_is_sent_again_and_given_up_in_the_end(ward: Ward) -> None:
    _, asked = await ward.office.ask("POST", f"{PROVIDERS}/echo/test", WHY)
    ward.shop.relay()
    for later_ms, sent in ((30_000, 0), (70_000, 1), (80_000, 0), (700_000, 0)):
        ward.shop.db.transact(probing.requeue_overdue, now_ms=now_ms() + later_ms)
        assert ward.shop.relay() == sent, later_ms
    assert (await standing(ward, PROVIDERS, "echo"))["lastTest"]["outcome"] == "WORKER_LOST"
    Prober(ward.shop.db, providers={"echo": Echo()}, later={}).test(asked["id"])
    assert (await standing(ward, PROVIDERS, "echo"))["lastTest"]["outcome"] == "WORKER_LOST"


@pytest.mark.parametrize(
    ("path", "verb"),
    [
        *((path, verb) for path in (QUEUES, PROVIDERS) for verb in ("pause", "resume", "drain")),
        (PROVIDERS, "test"),
        (PROVIDERS, "limits"),
    ],
)
async def test_only_what_is_there_is_held_back_and_by_administrators_only(
    ward: Ward, someone: Person, path: str, verb: str
) -> None:
    method, name = "PUT" if verb == "limits" else "POST", TEXT if path == QUEUES else "echo"
    for unknown in ("nowhere", "%E6%A2%85", "mail"):
        status, problem = await ward.office.ask(method, f"{path}/{unknown}/{verb}", WHY)
        assert (status, problem["code"]) == (404, "NOT_FOUND")
    assert (await ward.office.ask(method, f"{path}/{name}/{verb}", WHY, who=someone))[0] == 403
    status, problem = await ward.office.ask(method, f"{path}/{name}/{verb}", {})
    assert (status, problem["details"][0]["path"]) == (400, ["reason"])
    assert (await standing(ward, path, name))["state"] == "open"


async def test_messages_that_nobody_could_handle_are_shown_and_sent_again(ward: Ward) -> None:
    good = Dead(contract=messages.JOBS_SWEEP.name, message="{}", reason="crashed", error="KeyError")
    bad = Dead(contract="gone.away", message="松鼠", reason="unknown_contract", error="")
    for dead in (good, bad, good):
        ward.shop.db.transact(dead_messages.bury, dead, message_id=new_id(), now_ms=now_ms())
    _, answer = await ward.office.ask("GET", "/api/admin/dead-messages")
    second, first = answer["messages"]
    assert (first["contract"], first["times"], first["error"]) == ("jobs.sweep", 2, "KeyError")
    assert (second["message"], second["times"]) == ("松鼠", 1)
    path = "/api/admin/dead-messages/{}/{}"
    status, problem = await ward.office.ask("POST", path.format(second["id"], "replay"), WHY)
    assert (status, problem["code"]) == (409, "MESSAGE_UNREADABLE")
    assert (await ward.office.ask("POST", path.format(second["id"], "dismiss"), WHY))[0] == 200
    assert (await ward.office.ask("POST", path.format(first["id"], "replay"), WHY))[0] == 200
    assert ward.shop.relay() == 1
    assert (await ward.office.ask("POST", path.format(first["id"], "replay"), WHY))[0] == 404
    assert (await ward.office.ask("GET", "/api/admin/dead-messages"))[1]["messages"] == []
    assert len(ward.logged("ADMIN_MESSAGE_REPLAY")) == len(ward.logged("ADMIN_MESSAGE_DISMISS")) == 1
