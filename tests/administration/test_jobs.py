"""Administrators look for anyone's jobs, cancel them, and have failed ones done once more."""

from dataclasses import replace

import pytest
from sqlalchemy import update

from atelier.accounts.models import User
from atelier.catalog.models import AGENTS
from atelier.catalog.models import VERSIONS as AGENT_VERSIONS
from atelier.contracts import queues
from atelier.jobs import overview, states
from atelier.jobs.models import DEAD_LETTERS
from atelier.kernel.ids import new_id
from atelier.webhooks import events as webhooks
from tests.administration.conftest import Json, Office
from tests.administration.dead import PRICE, WHY, Ward
from tests.live.harness import Person, healthy, socket

JOBS = "/api/admin/jobs"


@pytest.fixture
def ward(office: Office) -> Ward:
    return Ward(office)


def film(ward: Ward, person: Person) -> str:
    """The id of a video of theirs that is put together from other jobs."""
    one = replace(ward.shop.submission(person.id, PRICE, kind="video"), provider=queues.WORKFLOW)
    ward.shop.submit_all([one])
    return one.job_id


async def listed(ward: Ward, query: str) -> list[str]:
    """The ids on a page of jobs."""
    status, answer = await ward.office.ask("GET", f"{JOBS}?{query}")
    assert status == 200, answer
    return [one["id"] for one in answer["jobs"]]


async def test_jobs_are_found_by_whatever_is_known_of_them(ward: Ward, someone: Person) -> None:
    other = ward.office.person(credits=100)
    failed, waiting = ward.failed(someone), ward.shop.submit(someone.id, PRICE)
    picture, refused = ward.shop.submit(other.id, PRICE, kind="image"), ward.failed(other, error_code="INTERNAL")
    clip, story = ward.shop.submit(other.id, PRICE, kind="video"), film(ward, other)
    everything = [story, clip, refused, picture, waiting, failed]
    for query, found in (
        ("", everything),
        ("status=failed", [refused, failed]),
        ("status=pending&kind=image", [picture]),
        ("queue=generation.text", [refused, waiting, failed]),
        ("queue=generation.text&kind=image", []),
        ("queue=nowhere", []),
        ("kind=video", [story, clip]),
        ("status=pending&kind=video", [story, clip]),
        ("kind=video&queue=generation.video", [clip]),
        ("kind=video&queue=generation.compose", [story]),
        ("kind=image&queue=generation.compose", []),
        ("kind=video&provider=workflow", [story]),
        (f"kind=video&userId={other.id}", [story, clip]),
        ("errorClass=bug", [refused]),
        ("errorClass=provider_unavailable&status=pending", []),
        ("errorCode=PROVIDER_UNAVAILABLE", [failed]),
        (f"userId={someone.id}", [waiting, failed]),
        (f"userId={someone.id}&status=pending&queue=generation.text&kind=text&provider=echo", [waiting]),
        (f"userId={new_id()}", []),
        (f"agentId={ward.agent_id}", everything),
        (f"agentId={new_id()}", []),
        ("provider=echo&status=failed", [refused, failed]),
        ("provider=other", []),
        ("olderThanSeconds=3600", []),
        ("from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z", []),
        ("from=2020-01-01T00:00:00Z", everything),
    ):
        assert await listed(ward, query) == found, query


@pytest.mark.parametrize(
    "query", ["status=gone", "errorClass=x", "provider=%E6%A2%85", "cursor=1", "olderThanSeconds=-1"]
)
async def test_what_can_not_be_asked_for_is_refused(ward: Ward, query: str) -> None:
    status, problem = await ward.office.ask("GET", f"{JOBS}?{query}")
    assert (status, problem["details"][0]["path"]) == (400, [query.partition("=")[0]])


@pytest.mark.parametrize("query", ["", "status=pending", "agentId={agent}", "userId={user}&provider=echo"])
async def test_pages_follow_each_other(ward: Ward, someone: Person, query: str) -> None:
    jobs = [ward.shop.submit(someone.id, 0) for _ in range(5)]
    query = query.format(agent=ward.agent_id, user=someone.id)
    found: list[str] = []
    cursor = ""
    while True:
        _, answer = await ward.office.ask("GET", f"{JOBS}?limit=2&{query}{cursor}")
        found += [one["id"] for one in answer["jobs"]]
        if answer["nextCursor"] is None:
            break
        cursor = f"&cursor={answer['nextCursor']}"
    assert found == jobs[::-1]


async def test_one_job_is_shown_with_everything_that_happened_to_it(ward: Ward, someone: Person) -> None:
    job_id = ward.shop.submit(someone.id, PRICE)
    assert ward.shop.put_back(ward.shop.claim_one(job_id), wait_ms=60_000)
    _, shown = await ward.office.ask("GET", f"{JOBS}/{job_id}")
    explained = shown["explain"]
    assert (explained["blockedBy"], explained["queuePosition"]) == ("retry_backoff", 0)
    assert explained["message"]
    assert (shown["hold"]["amount"], shown["hold"]["resolution"], shown["deadLetter"]) == (PRICE, None, None)
    assert [(one["number"], one["outcome"]) for one in shown["tries"]] == [(1, None)]
    ward.shop.hasten(job_id)
    assert ward.shop.fail(ward.shop.claim_one(job_id))
    await ward.replay(job_id)
    _, shown = await ward.office.ask("GET", f"{JOBS}/{job_id}")
    assert (shown["status"], shown["errorClass"], shown["userId"]) == ("failed", "provider_rejected", someone.id)
    assert (shown["hold"]["resolution"], shown["hold"]["taken"]) == ("release", 0)
    assert shown["deadLetter"]["state"] == "replayed"
    happened = [one["what"] for one in shown["timeline"]]
    assert set(happened) >= {"submitted", "held", "attempt_started", "attempt_ended", "failed", "hold_resolved"}
    assert happened[-1] == "ADMIN_JOB_REPLAY"
    assert shown["timeline"][-1]["details"]["reason"] == WHY["reason"]
    for secret in ("input", "config", "result"):
        assert secret not in shown


async def test_of_many_attempts_the_last_are_shown(ward: Ward, someone: Person) -> None:
    job_id, often = ward.shop.submit(someone.id, PRICE), overview.ATTEMPTS_MAX
    for _ in range(often):
        assert ward.shop.put_back(ward.shop.claim_one(job_id), refund=1)
    assert ward.shop.fail(ward.shop.claim_one(job_id))
    _, shown = await ward.office.ask("GET", f"{JOBS}/{job_id}")
    assert [one["fence"] for one in shown["tries"]] == list(range(2, often + 2))
    assert shown["tries"][-1]["outcome"] == shown["errorCode"] == "PROVIDER_REJECTED"


async def test_a_waiting_job_is_canceled_on_behalf_of_its_user(ward: Ward, someone: Person) -> None:
    job_id = ward.shop.submit(someone.id, PRICE)
    await healthy(ward.office.served)
    async with socket(ward.office.served, someone) as listener:
        await listener.say(type="subscribe", all=True)
        status, answer = await ward.office.ask("POST", f"{JOBS}/{job_id}/cancel", WHY)
        assert (status, answer["status"]) == (200, "canceled")
        await listener.until("job.canceled")
    assert ward.shop.balance(someone.id).available == 100
    status, problem = await ward.office.ask("POST", f"{JOBS}/{job_id}/cancel", WHY)
    assert (status, problem["code"]) == (409, "JOB_FINISHED")
    (one,) = ward.logged("ADMIN_JOB_CANCEL")
    assert (one["user_id"], one["resource_id"]) == (ward.office.admin.id, job_id)
    assert one["details"].items() >= {"userId": someone.id, "done": True, **WHY}.items()


async def test_a_running_job_is_asked_to_stop(ward: Ward, someone: Person) -> None:
    job_id = ward.shop.submit(someone.id, PRICE)
    ward.shop.claim_one(job_id)
    status, answer = await ward.office.ask("POST", f"{JOBS}/{job_id}/cancel", WHY)
    assert (status, answer["status"]) == (202, "requested")
    assert ward.shop.job(job_id)["cancel_requested"] == 1
    assert len(ward.logged("ADMIN_JOB_CANCEL")) == 1


async def test_a_failed_job_is_done_once_more_for_its_user(ward: Ward, someone: Person) -> None:
    job_id = ward.failed(someone)
    status, answer = await ward.replay(job_id)
    assert (status, answer["jobId"], answer["credits"]) == (202, job_id, {"held": PRICE})
    job = ward.shop.job(answer["newJobId"])
    assert (job["user_id"], job["state"], job["held"], job["retry_of"]) == (someone.id, "pending", PRICE, job_id)
    assert (job["input"], job["agent_id"]) == (ward.shop.job(job_id)["input"], ward.agent_id)
    assert ward.shop.balance(someone.id).held == PRICE
    letter = ward.letter(job_id)
    assert (letter["state"], letter["new_job_id"], letter["resolved_by"], letter["note"]) == (
        *("replayed", answer["newJobId"], ward.office.admin.id),
        WHY["reason"],
    )
    (one,) = ward.logged("ADMIN_JOB_REPLAY")
    assert one["details"] == {"newJobId": answer["newJobId"], "userId": someone.id, "held": PRICE, **WHY}
    assert ward.shop.complete(ward.shop.claim_one(answer["newJobId"]))
    ward.assert_sound()


async def test_who_wanted_to_hear_of_a_job_hears_of_its_replay(ward: Ward, someone: Person) -> None:
    url = "https://consumer.example.com/hook"
    _, one = await ward.replay(ward.followed(someone, url))
    other_id = ward.followed(someone, url)
    _, many = await ward.replay_many()
    (other,) = many["jobs"]
    assert other["jobId"] == other_id
    for new_id_ in (one["newJobId"], other["newJobId"]):
        followed = ward.shop.db.read(webhooks.of_job, job_id=new_id_)
        assert followed is not None
        assert (followed.url, followed.user_id, followed.events) == (url, someone.id, ())
    ward.assert_sound()


async def test_nothing_is_replayed_twice(ward: Ward, someone: Person) -> None:
    for job_id in (ward.failed(someone), ward.canceled(someone)):
        _, first = await ward.replay(job_id, key=job_id)
        assert await ward.replay(job_id, key=job_id) == (202, first)
        status, problem = await ward.replay(job_id)
        assert (status, problem["code"], problem["newJobId"]) == (409, "JOB_REPLAYED", first["newJobId"])
        assert ward.retries()[job_id] == [first["newJobId"]]
    ward.assert_sound()


@pytest.mark.parametrize("ended", ["failed", "dismissed", "canceled"])
async def test_what_its_user_has_tried_again_is_no_dead_letter(ward: Ward, someone: Person, ended: str) -> None:
    job_id = ward.canceled(someone) if ended == "canceled" else ward.failed(someone)
    if ended == "dismissed":
        assert (await ward.office.ask("POST", f"/api/admin/dead-letters/{job_id}/dismiss", WHY))[0] == 200
    status, answer = await ward.office.ask("POST", f"/api/jobs/{job_id}/retry", who=someone)
    assert status == 202, answer
    letter = ward.letter(job_id)
    assert (letter["state"], letter["new_job_id"]) == ("retried", answer["jobId"])
    assert (letter["resolved_by"], letter["note"]) == (None, None)
    status, problem = await ward.replay(job_id)
    assert (status, problem["code"], problem["newJobId"]) == (409, "JOB_REPLAYED", answer["jobId"])
    assert await ward.letters() == []
    assert ward.shop.balance(someone.id).held == PRICE
    ward.assert_sound()


async def test_a_replay_has_the_priority_of_what_it_repeats(ward: Ward, someone: Person) -> None:
    low = replace(ward.shop.submission(someone.id, PRICE), priority="low")
    ward.shop.submit_all([low])
    assert ward.shop.cancel(low.job_id, someone.id).done
    _, answer = await ward.replay(low.job_id)
    again = ward.shop.job(answer["newJobId"])
    assert again["rank_ms"] == states.rank_ms(created_ms=again["created_ms"], priority="low")


async def test_what_an_administrator_replayed_its_user_may_try_again_too(ward: Ward, someone: Person) -> None:
    job_id = ward.failed(someone)
    _, first = await ward.replay(job_id)
    status, _ = await ward.office.ask("POST", f"/api/jobs/{job_id}/retry", who=someone)
    assert (status, ward.letter(job_id)["new_job_id"]) == (202, first["newJobId"])


def _without(ward: Ward, person: Person, what: str) -> None:
    changes = {
        "credits": None,
        "user": update(User).where(User.id == person.id).values(status="disabled"),
        "agent": update(AGENTS).where(AGENTS.c.id == ward.agent_id).values(status="archived"),
        "price": update(AGENT_VERSIONS).where(AGENT_VERSIONS.c.agent_id == ward.agent_id).values(credits_per_use=6),
        "letter": DEAD_LETTERS.delete(),
    }
    change = changes[what]
    if change is None:
        ward.shop.submit(person.id, ward.shop.balance(person.id).available)
    else:
        ward.shop.db.transact(lambda session: session.execute(change))


@pytest.mark.parametrize(
    ("what", "refused"),
    [
        ("credits", (400, "INSUFFICIENT_CREDITS")),
        ("user", (409, "USER_DISABLED")),
        ("agent", (404, "AGENT_UNAVAILABLE")),
        ("price", (409, "PRICE_CHANGED")),
        ("letter", (409, "JOB_TOO_OLD")),
    ],
)
async def test_a_replay_that_can_not_be_is_refused_and_changes_nothing(
    ward: Ward, someone: Person, what: str, refused: tuple[int, str]
) -> None:
    job_id = ward.failed(someone)
    _without(ward, someone, what)
    status, problem = await ward.replay(job_id)
    assert (status, problem["code"]) == refused
    assert (ward.retries(), ward.logged("ADMIN_JOB_REPLAY")) == ({}, [])
    if what != "letter":
        assert ward.letter(job_id)["state"] == "open"


async def test_only_what_has_failed_or_was_canceled_is_replayed(ward: Ward, someone: Person) -> None:
    waiting, done = ward.shop.submit(someone.id, 0), ward.shop.submit(someone.id, 0)
    assert ward.shop.complete(ward.shop.claim_one(done))
    for job_id in (waiting, done):
        status, problem = await ward.replay(job_id)
        assert (status, problem["code"]) == (409, "JOB_NOT_FAILED")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", JOBS),
        ("GET", JOBS + "/{}"),
        ("POST", JOBS + "/{}/cancel"),
        ("POST", JOBS + "/{}/replay"),
        ("POST", JOBS + "/replay"),
        ("GET", "/api/admin/dead-letters"),
        ("POST", "/api/admin/dead-letters/{}/dismiss"),
    ],
)
async def test_nobody_else_may_and_what_is_not_there_is_not_found(
    ward: Ward, someone: Person, method: str, path: str
) -> None:
    body: Json | None = None if method == "GET" else WHY
    status, _ = await ward.office.ask(method, path.format(ward.failed(someone)), body, who=someone)
    assert status == 403
    if "{}" in path:
        status, problem = await ward.office.ask(method, path.format(new_id()), body)
        assert (status, problem["code"]) == (404, "NOT_FOUND")
        if method == "POST":
            status, problem = await ward.office.ask(method, path.format(new_id()), {})
            assert (status, problem["details"][0]["path"]) == (400, ["reason"])
