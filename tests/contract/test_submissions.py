"""What a submission may come to: refused without a trace, answered once, ended with the credits where they belong."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest
from sqlalchemy.orm import Session

from atelier.catalog import seed_content, service
from atelier.kernel.clock import now_ms
from atelier.kernel.ids import new_id
from tests.contract.conftest import Place
from tests.contract.front_end import FrontEnd, Json
from tests.stack import Stack

WAITING_MAX = 60
ATTEMPTS_MAX = 3
PARALLEL = 50
POSTER_CREDITS = 5
GENERATE = "/api/workshop/generate"


@pytest.fixture(scope="module")
def stack(place: Place) -> Iterator[Stack]:
    """Every role but the one that makes pictures: a poster waits for ever."""
    environment = {"ATELIER_WAITING_JOBS_MAX": str(WAITING_MAX), "ATELIER_ATTEMPTS_MAX": str(ATTEMPTS_MAX)}
    made = Stack(place.database_url, place.redis_url, place.folder, env=environment)
    made.start_all()
    yield made
    assert made.diagnosis() == []
    made.close()


def signed_in(stack: Stack, *, amount: int) -> FrontEnd:
    """Someone new with that many credits."""
    name = f"u{new_id()[-12:]}"
    return FrontEnd(stack, name, stack.user(name, amount=amount))


def wish(stack: Stack, slug: str, **more: object) -> Json:
    """The body of a submission."""
    return {"agentId": stack.agent(slug), "inputData": {"prompt": "回声"}, **more}


def jobs(user: FrontEnd) -> int:
    """How many they have."""
    total: int = user.call("GET", "/api/jobs")["pagination"]["total"]
    return total


def balance(amount: int, *, held: int = 0) -> Json:
    """An account with that much, of which some is held."""
    return {"balance": amount, "held": held, "available": amount - held}


# -- refused


def test_who_cannot_pay_gets_nothing_and_owes_nothing(stack: Stack) -> None:
    poor = signed_in(stack, amount=3)
    problem = poor.refused("POST", GENERATE, wish(stack, "poster-maker"), (400, "INSUFFICIENT_CREDITS", "积分不足"))
    assert (problem["balance"], problem["required"]) == (3, POSTER_CREDITS)
    assert (jobs(poor), poor.balance()) == (0, balance(3))


def test_of_fifty_at_once_the_affordable_ones_are_accepted(stack: Stack) -> None:
    user = signed_in(stack, amount=100)
    with ThreadPoolExecutor(PARALLEL) as crowd:
        asked = [crowd.submit(submit, user, "poster-maker") for _ in range(PARALLEL)]
    answers = [one.result() for one in asked]
    assert Counter(answer.status_code for answer in answers) == {202: 20, 400: 30}
    assert {answer.json().get("code") for answer in answers} == {None, "INSUFFICIENT_CREDITS"}
    assert (jobs(user), user.balance()) == (20, balance(100, held=100))


def test_who_has_too_much_waiting_is_asked_to_come_again(stack: Stack) -> None:
    user = signed_in(stack, amount=1_000)
    submitted = [user.generate("poster-maker", "回声") for _ in range(WAITING_MAX)]
    assert [job["queuePosition"] for job in submitted] == sorted(job["queuePosition"] for job in submitted)
    user.refused("POST", GENERATE, wish(stack, "echo"), (429, "TOO_MANY_WAITING", "排队中的任务过多，请稍后再试"))
    refused = user.answer("POST", GENERATE, wish(stack, "echo"), status=429)
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.headers["RateLimit"]
    assert user.balance() == balance(1_000, held=WAITING_MAX * POSTER_CREDITS)

    canceled = user.call("POST", submitted[0]["links"]["cancel"])
    assert canceled == {"success": True, "jobId": submitted[0]["jobId"], "status": "canceled"}
    job = user.finished(submitted[0]["jobId"])
    assert (job["status"], job["attempts"], job["credits"]) == ("canceled", 0, {"held": 5, "used": 0})
    assert user.balance() == balance(1_000, held=(WAITING_MAX - 1) * POSTER_CREDITS)
    user.generate("poster-maker", "回声")


def test_what_is_not_there_or_not_allowed_is_refused_in_the_front_ends_words(stack: Stack) -> None:
    user = signed_in(stack, amount=10)
    for_sale = new_id()
    stack.database.transact(_offer, agent_id=for_sale)
    unknown = {**wish(stack, "echo"), "agentId": new_id()}
    user.refused("POST", GENERATE, unknown, (404, "AGENT_UNAVAILABLE", "Agent不存在或不可用"))
    unpaid = {**wish(stack, "echo"), "agentId": for_sale}
    user.refused("POST", GENERATE, unpaid, (403, "NOT_PURCHASED", "您还未购买该Agent"))
    elsewhere = wish(stack, "echo", projectId=new_id())
    user.refused("POST", GENERATE, elsewhere, (404, "PROJECT_NOT_FOUND", "项目不存在"))
    nowhere = wish(stack, "echo", saveVersion=True)
    user.refused("POST", GENERATE, nowhere, (400, "VALIDATION_FAILED", "输入数据无效"))
    odd = wish(stack, "echo", config={"delayMs": 600_001, "surprise": 1})
    problem = user.refused("POST", GENERATE, odd, (400, "VALIDATION_FAILED", "输入数据无效"))
    assert {tuple(detail["path"][:2]) for detail in problem["details"]} >= {("config", "delayMs")}
    empty: Json = {**wish(stack, "echo"), "inputData": {}}
    user.refused("POST", GENERATE, empty, (400, "VALIDATION_FAILED", "输入数据无效"))
    assert (jobs(user), user.balance()) == (0, balance(10))


def _offer(session: Session, *, agent_id: str) -> None:
    """Put an agent on sale that has to be bought before it is used."""
    echo, now = seed_content.ECHO, now_ms()
    shown = replace(echo.shown, slug="for-sale", price_type="one_time", base_price=50, credits_per_use=None)
    content = replace(echo.content, price_type="one_time", credits_per_use=None)
    service.create(session, agent_id=agent_id, shown=shown, status="review", now_ms=now)
    version = service.add_version(session, agent_id=agent_id, content=content, now_ms=now)
    service.publish(session, agent_id=agent_id, version=version, now_ms=now)


# -- answered once


def submit(user: FrontEnd, slug: str, *, key: str = "") -> httpx.Response:
    """Submit, whatever comes of it."""
    headers = {**user.headers, **({"Idempotency-Key": key} if key else {})}
    return user.stack.client.post(GENERATE, json=wish(user.stack, slug), headers=headers)


def test_a_key_is_answered_once_and_then_again_in_the_same_words(stack: Stack) -> None:
    user, other = signed_in(stack, amount=100), signed_in(stack, amount=100)
    first = user.answer("POST", GENERATE, wish(stack, "echo"), status=202, Idempotency_Key="k")
    again = user.answer("POST", GENERATE, wish(stack, "echo"), status=202, Idempotency_Key="k")
    assert "Idempotency-Replayed" not in first.headers
    assert (again.headers["Idempotency-Replayed"], again.json()) == ("true", first.json())
    for name in ("Location", "Retry-After"):
        assert again.headers[name] == first.headers[name]
    changed = wish(stack, "echo", deadlineSeconds=60)
    reused = user.call("POST", GENERATE, changed, status=422, Idempotency_Key="k")
    assert (reused["code"], reused["error"]) == ("IDEMPOTENCY_KEY_REUSED", "该幂等键已用于不同的请求")
    theirs = other.call("POST", GENERATE, wish(stack, "echo"), status=202, Idempotency_Key="k")
    assert theirs["jobId"] != first.json()["jobId"]
    user.finished(first.json()["jobId"])
    late = user.answer("POST", GENERATE, wish(stack, "echo"), status=202, Idempotency_Key="k")
    assert late.json() == first.json()
    assert (jobs(user), user.balance()) == (1, balance(99))


def test_the_same_key_fifty_times_at_once_is_one_job(stack: Stack) -> None:
    user = signed_in(stack, amount=100)
    with ThreadPoolExecutor(PARALLEL) as crowd:
        asked = [crowd.submit(submit, user, "poster-maker", key="one") for _ in range(PARALLEL)]
    answers = [one.result() for one in asked]
    accepted = [answer for answer in answers if answer.status_code == 202]
    assert Counter(answer.status_code for answer in answers).keys() <= {202, 409}
    assert len({answer.json()["jobId"] for answer in accepted}) == 1
    assert len(accepted) - sum("Idempotency-Replayed" in answer.headers for answer in accepted) == 1
    assert (jobs(user), user.balance()) == (1, balance(100, held=POSTER_CREDITS))


def test_spending_and_trying_again_are_answered_once_too(stack: Stack) -> None:
    user = signed_in(stack, amount=100)
    body = {"amount": 7, "action": "jimeng_video_generation"}
    first = user.call("POST", "/credits/consume", body, Idempotency_Key="c")
    again = user.answer("POST", "/credits/consume", body, Idempotency_Key="c")
    assert (again.headers["Idempotency-Replayed"], again.json()) == ("true", first)
    user.call("POST", "/credits/consume", {**body, "amount": 8}, status=422, Idempotency_Key="c")
    assert user.call("GET", "/credits/balance") == {"balance": 93}

    failed = user.generate("echo", "回声", fail="permanent")["jobId"]
    user.finished(failed)
    path = f"/api/jobs/{failed}/retry"
    retried = user.call("POST", path, status=202, Idempotency_Key="r")
    again = user.answer("POST", path, status=202, Idempotency_Key="r")
    assert (again.headers["Idempotency-Replayed"], again.json()) == ("true", retried)
    user.finished(retried["jobId"])
    assert (jobs(user), user.balance()) == (2, balance(93))


# -- waited for


def test_who_prefers_to_wait_gets_the_result_at_once(stack: Stack) -> None:
    user = signed_in(stack, amount=10)
    done = user.call("POST", GENERATE, wish(stack, "echo"), status=200, Prefer="respond-async, wait=20")
    assert done.keys() == {"success", "result", "usageId", "processingTime"}
    assert done["result"]["outputs"][0]["text"] == "回声"
    assert user.call("GET", f"/api/jobs/{done['usageId']}")["processingTime"] == done["processingTime"]

    bad = wish(stack, "echo", config={"fail": "permanent"})
    failed = user.call("POST", GENERATE, bad, status=502, Prefer="wait=20")
    assert (failed["code"], failed["error"]) == ("GENERATION_FAILED", "AI生成失败，请稍后重试")
    assert user.call("GET", f"/api/jobs/{failed['jobId']}")["errorCode"] == failed["errorCode"] == "PROVIDER_REJECTED"

    slow = wish(stack, "echo", config={"delayMs": 60_000})
    accepted = user.call("POST", GENERATE, slow, status=202, Prefer="wait=1")
    assert accepted["status"] == "pending"
    user.until_running(accepted["jobId"])
    assert user.balance() == balance(9, held=1)
    user.call("POST", accepted["links"]["cancel"], status=202)
    assert user.finished(accepted["jobId"])["status"] == "canceled"
    assert user.balance() == balance(9)


# -- ended


def test_a_provider_that_fails_for_a_while_is_asked_again(stack: Stack) -> None:
    user = signed_in(stack, amount=10)
    lucky = user.finished(user.generate("echo", "回声", fail="transient", failTimes=ATTEMPTS_MAX - 1)["jobId"])
    assert (lucky["status"], lucky["attempts"], lucky["errorCode"]) == ("completed", ATTEMPTS_MAX, None)
    assert user.balance() == balance(9)
    unlucky = user.finished(user.generate("echo", "回声", fail="transient")["jobId"])
    assert (unlucky["status"], unlucky["attempts"]) == ("failed", ATTEMPTS_MAX)
    assert (unlucky["errorCode"], unlucky["errorMessage"]) == ("PROVIDER_UNAVAILABLE", "生成服务暂时不可用")
    assert unlucky["credits"] == {"held": 1, "used": 0}
    assert user.balance() == balance(9)


@pytest.mark.parametrize(("slug", "config"), [("echo", {"delayMs": 60_000}), ("poster-maker", {})])
def test_a_deadline_ends_a_job_that_runs_and_one_that_waits(stack: Stack, slug: str, config: Json) -> None:
    user = signed_in(stack, amount=10)
    late = user.call("POST", GENERATE, wish(stack, slug, config=config, deadlineSeconds=1), status=202)
    job = user.finished(late["jobId"])
    assert (job["status"], job["errorCode"]) == ("failed", "DEADLINE_EXCEEDED")
    assert job["errorMessage"] == "任务已超过截止时间"
    assert (job["credits"]["used"], user.balance()) == (0, balance(10))
