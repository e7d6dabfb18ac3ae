"""What has failed stays in sight until somebody has dealt with it, and nothing of it is done twice."""

import asyncio
from collections import Counter

import pytest

from tests.administration.conftest import Json, Office
from tests.administration.dead import PRICE, WHY, Ward
from tests.live.harness import Person


@pytest.fixture
def ward(office: Office) -> Ward:
    return Ward(office)


async def test_letters_are_counted_and_found(ward: Ward, someone: Person) -> None:
    other = ward.office.person(credits=100)
    first, second = ward.failed(someone), ward.failed(other, error_code="PROVIDER_CONTENT_REFUSED")
    third = ward.failed(someone, error_code="NEVER_HEARD_OF")
    assert ward.shop.complete(ward.shop.claim_one(ward.shop.submit(someone.id, 0)))
    ward.canceled(someone)
    _, answer = await ward.office.ask("GET", "/api/admin/dead-letters")
    counted = {name: number for name, number in answer["counts"]["errorClasses"].items() if number}
    assert counted == {"provider_unavailable": 1, "content_refused": 1, "bug": 1}
    assert answer["counts"]["providers"] == {"echo": 3}
    assert answer["counts"]["agents"] == {ward.agent_id: 3}
    for query, found in (
        ("", [third, second, first]),
        ("errorClass=content_refused", [second]),
        ("errorCode=NEVER_HEARD_OF", [third]),
        ("errorCode=PROVIDER_UNAVAILABLE&errorClass=bug", []),
        (f"userId={someone.id}", [third, first]),
        (f"userId={someone.id}&errorClass=bug&provider=echo&kind=text&queue=generation.text", [third]),
        (f"agentId={ward.agent_id}&userId={other.id}", [second]),
        ("provider=echo&limit=2", [third, second]),
        ("state=dismissed", []),
        ("kind=image", []),
        ("olderThanSeconds=60", []),
    ):
        assert [one["jobId"] for one in await ward.letters(query)] == found, query


async def test_a_letter_is_laid_to_rest_with_a_reason_and_can_still_be_replayed(ward: Ward, someone: Person) -> None:
    job_id = ward.failed(someone)
    path = f"/api/admin/dead-letters/{job_id}/dismiss"
    status, letter = await ward.office.ask("POST", path, WHY)
    assert (status, letter["state"], letter["note"]) == (200, "dismissed", WHY["reason"])
    assert (await ward.letters(), [one["jobId"] for one in await ward.letters("state=dismissed")]) == ([], [job_id])
    status, problem = await ward.office.ask("POST", path, WHY)
    assert (status, problem["code"]) == (409, "LETTER_NOT_OPEN")
    assert [one["details"]["reason"] for one in ward.logged("ADMIN_LETTER_DISMISS")] == [WHY["reason"]]
    assert (await ward.replay_many())[1]["matched"] == 0
    assert (await ward.replay(job_id))[0] == 202
    ward.assert_sound()


async def test_many_are_replayed_by_query_and_the_next_call_goes_on(ward: Ward, someone: Person) -> None:
    jobs = [ward.failed(someone) for _ in range(5)]
    ward.failed(someone, error_code="INTERNAL")
    _, counted = await ward.replay_many(more={"dryRun": True}, errorClass="provider_unavailable")
    assert (counted["dryRun"], counted["matched"], counted["replayed"], ward.retries()) == (True, 5, 0, {})
    assert ward.logged("ADMIN_JOBS_REPLAY") == []
    more: Json = {"limit": 2}
    found: list[Json] = []
    while True:
        status, answer = await ward.replay_many(more=more, errorClass="provider_unavailable")
        assert status == 200, answer
        found += answer["jobs"]
        if answer["nextCursor"] is None:
            break
        more = {"limit": 2, "cursor": answer["nextCursor"]}
    assert [one["jobId"] for one in found] == jobs[::-1]
    assert ward.retries() == {one["jobId"]: [one["newJobId"]] for one in found}
    assert ward.shop.balance(someone.id).held == 5 * PRICE
    assert len(ward.logged("ADMIN_JOB_REPLAY")) == 5
    assert ward.logged("ADMIN_JOBS_REPLAY")[0]["details"] == {
        "filter": {"state": "open", "reason": "provider_unavailable"},
        "matched": 2,
        "replayed": 2,
        "refused": {},
        **WHY,
    }
    ward.assert_sound()


async def test_those_that_are_refused_leave_the_others_alone_and_stay_open(ward: Ward) -> None:
    poor, rich = ward.office.person(credits=2 * PRICE - 1), ward.office.person(credits=100)
    mine = [ward.failed(poor) for _ in range(3)]
    theirs = ward.failed(rich)
    status, answer = await ward.replay_many()
    assert (status, answer["matched"], answer["replayed"]) == (200, 4, 2)
    assert answer["refused"] == {"INSUFFICIENT_CREDITS": 2}
    codes = Counter(one["errorCode"] for one in answer["jobs"])
    assert codes == {None: 2, "INSUFFICIENT_CREDITS": 2}
    assert theirs in ward.retries()
    assert len(await ward.letters()) == 2
    assert {one["jobId"] for one in await ward.letters()} < set(mine)
    ward.assert_sound()


async def test_one_key_replays_once_and_another_finds_what_is_left(ward: Ward, someone: Person) -> None:
    ward.failed(someone)
    _, first = await ward.replay_many(key="k")
    late = ward.failed(someone)
    assert (await ward.replay_many(key="k"))[1] == first
    assert late not in ward.retries()
    status, problem = await ward.replay_many(key="k", provider="echo")
    assert (status, problem["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    _, second = await ward.replay_many(key="l")
    assert [one["jobId"] for one in second["jobs"]] == [late]


@pytest.mark.parametrize("engine", ["sqlite", "mariadb"], indirect=True)
async def test_several_administrators_at_once_replay_each_job_once(ward: Ward, someone: Person) -> None:
    jobs = [ward.failed(someone) for _ in range(12)]
    calls = [ward.replay_many(more={"limit": 7}) for _ in range(4)]
    singles = [ward.replay(job_id) for job_id in jobs[:4]]
    retries = [ward.office.ask("POST", f"/api/jobs/{job_id}/retry", who=someone) for job_id in jobs[:2]]
    answers = await asyncio.gather(*calls, *singles, *retries)
    assert {status for status, _ in answers} <= {200, 202, 409, 503}
    await ward.replay_many()
    found = ward.retries()
    assert set(found) == set(jobs)
    # A user may try again what was replayed; administrators never do it twice.
    assert all(len(found[job_id]) == 1 for job_id in jobs[2:])
    replayed = [one["resource_id"] for one in ward.logged("ADMIN_JOB_REPLAY")]
    assert len(replayed) == len(set(replayed))
    ward.assert_sound()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"filter": {}}, ["reason"]),
        ({**WHY}, ["filter"]),
        ({**WHY, "filter": {"errorClass": "x"}}, ["filter", "errorClass"]),
        ({**WHY, "filter": {"state": "open"}}, ["filter", "state"]),
        ({**WHY, "filter": {}, "limit": 501}, ["limit"]),
        ({**WHY, "filter": {}, "cursor": "x"}, ["cursor"]),
    ],
)
async def test_bad_bodies_change_nothing(ward: Ward, someone: Person, body: Json, field: list[str]) -> None:
    ward.failed(someone)
    status, problem = await ward.office.ask("POST", "/api/admin/jobs/replay", body)
    assert (status, problem["details"][0]["path"]) == (400, field)
    assert ward.retries() == {}
