"""Both front ends, over HTTP, against every role, on both databases: paths, statuses, field names, sentences."""

import asyncio
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from atelier.onboarding import operator
from tests.contract.conftest import Place
from tests.contract.front_end import (
    AGENT,
    EVENT,
    ID,
    JOB,
    MOMENT,
    PAGINATION,
    PASSWORD,
    PROFILE,
    TRANSACTION,
    USER,
    FrontEnd,
    Json,
    assert_keys,
)
from tests.contract.seed_routes import drives
from tests.stack import Stack

WELCOME = 100
WHITELIST = {"user_whitelist": ["user@example.com:password123"]}


@pytest.fixture(scope="module")
def stack(place: Place) -> Iterator[Stack]:
    environment = {"ATELIER_WELCOME_BONUS_ON": "verification", "FRONTEND_URL": "https://shop.test"}
    made = Stack(place.database_url, place.redis_url, place.folder, env=environment)
    operator.admit_whitelist(made.database, settings=made.settings().model_copy(update=WHITELIST))
    made.start("media")
    made.start_all()
    yield made
    assert made.diagnosis() == []
    made.close()


@pytest.fixture(scope="module")
def mei(stack: Stack) -> FrontEnd:
    """Signed in, with the welcome bonus."""
    made = FrontEnd(stack, "mei").register().verify()
    made.login()
    return made


@pytest.fixture
def visitor(stack: Stack) -> FrontEnd:
    """Nobody yet."""
    return FrontEnd(stack, "visitor")


# -- A: the marketplace


@drives("POST /api/auth/register", "POST /api/auth/verify-email", "POST /api/auth/login", "POST /api/auth/logout")
@drives("GET /api/auth/profile", "PUT /api/auth/profile")
def test_from_registration_to_the_profile_and_out_again(stack: Stack) -> None:
    lin = FrontEnd(stack, "lin").register()
    again = {"email": "LIN@example.com", "username": "other", "password": PASSWORD}
    lin.refused("POST", "/api/auth/register", again, (400, "USER_EXISTS", "用户已存在"))
    wrong = {"loginId": "lin", "password": "not the password"}
    for body in (wrong, {**wrong, "loginId": "nobody"}, {**wrong, "loginId": "lin@example.com"}):
        lin.refused("POST", "/api/auth/login", body, (401, "INVALID_CREDENTIALS", "用户名或密码错误"))
    signed_in = lin.login()
    assert_keys(signed_in, expected={"success", "user", "token", "expiresAt"})
    assert_keys(signed_in["user"], expected=USER)
    assert (signed_in["success"], signed_in["user"]["credits"]) == (True, 0)
    lin.verify()
    by_email = lin.call("POST", "/api/auth/login", {"loginId": lin.email, "password": PASSWORD, "rememberMe": True})
    assert by_email["user"] == {**signed_in["user"], "credits": WELCOME}
    assert by_email["expiresAt"] > signed_in["expiresAt"]

    profile = lin.call("GET", "/api/auth/profile")
    assert_keys(profile, expected=PROFILE)
    assert {name: profile[name] for name in USER} == by_email["user"]
    assert (profile["bio"], profile["totalSpent"]) == (None, 0)
    assert MOMENT.fullmatch(profile["createdAt"])
    changed = lin.call("PUT", "/api/auth/profile", {"displayName": "林", "bio": "插画师"})
    assert changed == {"id": profile["id"], "displayName": "林", "bio": "插画师", "avatarUrl": None}

    assert lin.call("POST", "/api/auth/logout") == {"success": True}
    lin.refused("GET", "/api/auth/profile", None, (401, "UNAUTHORIZED", "未授权"))
    other = FrontEnd(stack, "lin", {"Authorization": f"Bearer {by_email['token']}"})
    assert other.call("GET", "/api/auth/profile")["displayName"] == "林"
    assert other.call("POST", "/api/auth/logout?all=true") == {"success": True}
    other.refused("GET", "/api/auth/profile", None, (401, "UNAUTHORIZED", "未授权"))


@drives("POST /api/auth/change-password", "POST /api/auth/forgot-password", "POST /api/auth/reset-password")
@drives("POST /api/auth/verify-email/resend")
def test_passwords_are_changed_and_forgotten(stack: Stack) -> None:
    wen = FrontEnd(stack, "wen").register().verify()
    old = wen.login()["token"]
    body = {"currentPassword": "not the password", "newPassword": "a new correct horse"}
    wen.refused("POST", "/api/auth/change-password", body, (400, "WRONG_PASSWORD", "当前密码错误"))
    answer = wen.call("POST", "/api/auth/change-password", {**body, "currentPassword": PASSWORD})
    assert_keys(answer, expected={"success", "token", "expiresAt"})
    stale = FrontEnd(stack, "wen", {"Authorization": f"Bearer {old}"})
    stale.refused("GET", "/api/auth/profile", None, (401, "UNAUTHORIZED", "未授权"))
    told = [
        wen.call("POST", "/api/auth/forgot-password", {"email": email}, status=202)
        for email in (wen.email, "nobody@example.com")
    ]
    assert told[0] == told[1] == {"success": True, "message": "如果该邮箱已注册，重置密码的邮件已发送"}
    body = {"token": "not a token", "password": PASSWORD}
    wen.refused("POST", "/api/auth/reset-password", body, (400, "TOKEN_INVALID", "链接无效或已过期"))
    wen.refused("POST", "/api/auth/verify-email", {"token": "x"}, (400, "TOKEN_INVALID", "链接无效或已过期"))
    body = {"token": wen.mailed_token("重置您的密码"), "password": PASSWORD}
    assert wen.call("POST", "/api/auth/reset-password", body)["message"] == "密码已重置，请重新登录"
    wen.refused("POST", "/api/auth/reset-password", body, (400, "TOKEN_INVALID", "链接无效或已过期"))
    wen.login()
    assert wen.call("POST", "/api/auth/verify-email/resend", {"email": wen.email}, status=202)["success"] is True


@drives("GET /api/agents", "GET /api/agents/categories", "GET /api/agents/search", "GET /api/agents/{agentId}")
def test_the_shop_window(visitor: FrontEnd, stack: Stack) -> None:
    listed = visitor.call("GET", "/api/agents?page=1&limit=2&sortBy=price&order=desc&priceType=pay_per_use")
    assert_keys(listed, expected={"agents", "pagination"})
    assert listed["pagination"] == {"page": 1, "limit": 2, "total": 6, "pages": 3}
    assert [agent["creditsPerUse"] for agent in listed["agents"]] == [25, 10]
    for agent in listed["agents"]:
        assert_keys(agent, expected=AGENT)
        assert_keys(agent["creator"], expected={"id", "username", "displayName", "avatarUrl"})
        assert_keys(agent["category"], expected={"id", "name", "slug", "color"})
        for link in agent["tags"]:
            assert_keys(link, expected={"tag"})
            assert_keys(link["tag"], expected={"id", "name", "color"})
    assert visitor.call("GET", "/api/agents?limit=1000")["pagination"]["limit"] == 50

    categories = visitor.call("GET", "/api/agents/categories")["categories"]
    assert [one["slug"] for one in categories] == ["writing", "image", "audio", "video", "tools"]
    assert all(set(one) == {"id", "name", "slug", "color", "count"} for one in categories)
    assert [one["count"] for one in categories] == [1, 1, 1, 2, 1]
    of_images = visitor.call("GET", f"/api/agents?category={categories[1]['slug']}")["agents"]
    assert [agent["slug"] for agent in of_images] == ["poster-maker"]

    found = visitor.call("GET", "/api/agents/search?q=海报")
    assert_keys(found, expected={"agents", "pagination", "suggestions"})
    assert [agent["slug"] for agent in found["agents"]] == ["poster-maker"]
    detail = visitor.call("GET", f"/api/agents/{stack.agent('poster-maker')}")
    assert_keys(detail, expected=AGENT | {"pricing", "resultDays", "iconUrl", "examples", "reviews", "_count"})
    assert (detail["reviews"], detail["_count"]) == ([], {"reviews": 0})
    unknown = "/api/agents/01990000-0000-7000-8000-00000000dead"
    visitor.refused("GET", unknown, None, (404, "AGENT_NOT_FOUND", "Agent不存在"))


@drives("POST /api/workshop/generate", "GET /api/payments/credits/balance")
def test_from_a_wish_to_a_picture(mei: FrontEnd) -> None:
    before = mei.balance()
    answer = mei.answer(
        "POST",
        "/api/workshop/generate",
        {
            "agentId": mei.stack.agent("poster-maker"),
            "inputData": {"prompt": "江南水乡的清晨"},
            "config": {"width": 256, "height": 256, "seed": 7},
        },
        status=202,
    )
    submitted = answer.json()
    job_id = submitted["jobId"]
    assert (submitted["success"], submitted["status"], submitted["credits"]) == (True, "pending", {"held": 5})
    path = f"/api/jobs/{job_id}"
    links = {"self": path, "events": f"{path}/events", "cancel": f"{path}/cancel", "result": f"{path}/result"}
    assert submitted["links"] == links
    assert (answer.headers["Location"], answer.headers["Retry-After"]) == (path, "1")

    job = mei.finished(job_id)
    assert (job["status"], job["progress"], job["kind"], job["attempts"]) == ("completed", 1.0, "image", 1)
    assert (job["credits"], job["errorCode"], job["links"]) == ({"held": 5, "used": 5}, None, links)
    assert job["processingTime"] >= 0
    assert all(MOMENT.fullmatch(job[name]) for name in ("createdAt", "startedAt", "finishedAt"))
    after = mei.balance()
    assert after["available"] == before["available"] - 5
    (output,) = mei.call("GET", links["result"])["outputs"]
    assert_keys(output, expected={"type", "contentType", "url", "size", "sha256", "metadata"})
    _assert_downloads(mei, output)
    listed = mei.call("GET", "/api/jobs?kind=image&status=completed&limit=1")
    assert_keys(listed, expected={"jobs", "pagination"})
    assert_keys(listed["pagination"], expected=PAGINATION)
    assert [one["id"] for one in listed["jobs"]] == [job_id]
    assert_keys(listed["jobs"][0], expected=JOB)


def _assert_downloads(mei: FrontEnd, output: Json) -> None:
    """As an <img> asks for it, which has no token."""
    image = FrontEnd(mei.stack, "img").answer("GET", output["url"])
    assert (image.headers["Content-Type"], output["type"], output["contentType"]) == ("image/png", "image", "image/png")
    assert (len(image.content), hashlib.sha256(image.content).hexdigest()) == (output["size"], output["sha256"])
    assert image.content.startswith(b"\x89PNG")
    part = FrontEnd(mei.stack, "img").answer("GET", output["url"], status=206, Range="bytes=0-7")
    assert part.content == image.content[:8]
    forged = output["url"].replace("signature=", "signature=A")[: len(output["url"])]
    FrontEnd(mei.stack, "img").refused("GET", forged, None, (403, "FORBIDDEN", "权限不足"))


def test_an_unchanged_job_is_not_sent_again(mei: FrontEnd) -> None:
    job_id = mei.generate("echo", "回声")["jobId"]
    mei.finished(job_id)
    path = f"/api/jobs/{job_id}"
    etag = mei.answer("GET", path).headers["ETag"]
    assert mei.answer("GET", path, status=304, If_None_Match=etag).content == b""
    result = mei.call("GET", f"{path}/result")
    assert result.pop("resultExpiresAt") > mei.call("GET", path)["finishedAt"]
    assert result == {
        "outputs": [
            {
                "type": "text",
                "contentType": "text/plain; charset=utf-8",
                "text": "回声",
                "size": 6,
                "sha256": hashlib.sha256("回声".encode()).hexdigest(),
                "metadata": {},
            }
        ]
    }


def test_watching_by_stream_and_coming_back(mei: FrontEnd) -> None:
    job = mei.generate("echo", "回声", delayMs=600, steps=3)
    seen = list(mei.events(job["links"]["events"]))
    assert [event for _, event, _ in seen][-1] == "job.completed"
    assert all(data.keys() == EVENT and data["jobId"] == job["jobId"] for _, _, data in seen)
    assert [int(name) for name, _, _ in seen] == sorted({data["seq"] for _, _, data in seen})
    assert {event for _, event, _ in seen} <= {"job.pending", "job.running", "job.progress", "job.completed"}
    first = seen[0][0]
    rest = list(mei.events(job["links"]["events"], Last_Event_ID=first))
    assert [name for name, _, _ in rest] == [name for name, _, _ in seen[1:]]
    assert list(mei.events(job["links"]["events"], status=204, Last_Event_ID=seen[-1][0])) == []


async def test_watching_by_socket(mei: FrontEnd) -> None:
    ticket = mei.call("POST", "/api/events/ticket")
    assert_keys(ticket, expected={"ticket", "expiresAt"})
    address = str(mei.stack.client.base_url.join("/api/events"))
    async with aiohttp.ClientSession() as browser, asyncio.timeout(30):
        for origin, status in (("https://evil.test", 403), ("null", 403)):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await browser.ws_connect(address, origin=origin)
            assert refused.value.status == status
        async with browser.ws_connect(address, origin="https://shop.test") as socket:
            await socket.send_json({"type": "auth", "ticket": ticket["ticket"]})
            assert (await socket.receive_json())["type"] == "authenticated"
            await socket.send_json({"type": "subscribe", "all": True})
            assert (await socket.receive_json())["type"] == "subscribed"
            job_id = (await asyncio.to_thread(mei.generate, "echo", "回声", delayMs=200))["jobId"]
            told = await _told(socket, job_id)
        assert [one["type"] for one in told if one["jobId"]][-1] == "job.completed"
        assert [one["data"].keys() for one in told if one["type"] == "credits.changed"][-1] == {
            *("balance", "held", "available"),
        }
        async with browser.ws_connect(address) as again:
            await again.send_json({"type": "auth", "ticket": ticket["ticket"]})
            await again.receive()
            assert again.close_code == 4401, "a ticket opens one socket"


async def _told(socket: Any, job_id: str) -> list[Json]:
    """What is told until the job has ended and its credits are taken."""
    told: list[Json] = []
    ended = charged = False
    while not (ended and charged):
        told.append(json.loads(await socket.receive_str()))
        assert told[-1].keys() == EVENT
        ended = ended or (told[-1]["type"], told[-1]["jobId"]) == ("job.completed", job_id)
        charged = ended and any(one["type"] == "credits.changed" and one["data"]["held"] == 0 for one in told)
    return told


def test_changing_ones_mind_and_trying_again(mei: FrontEnd) -> None:
    before = mei.balance()
    slow = mei.generate("echo", "回声", delayMs=60_000)
    mei.until_running(slow["jobId"])
    asked = mei.call("POST", slow["links"]["cancel"], status=202)
    assert asked == {"success": True, "jobId": slow["jobId"], "status": "requested"}
    job = mei.finished(slow["jobId"])
    assert (job["status"], job["credits"]) == ("canceled", {"held": 1, "used": 0})
    assert mei.balance() == before
    mei.refused("POST", slow["links"]["cancel"], None, (409, "JOB_FINISHED", "任务已结束"))
    mei.refused("GET", slow["links"]["result"], None, (409, "JOB_FINISHED", "任务已结束"))

    broken = mei.generate("echo", "回声", fail="permanent")
    job = mei.finished(broken["jobId"])
    assert (job["status"], job["errorCode"]) == ("failed", "PROVIDER_REJECTED")
    assert job["errorMessage"] == "生成服务拒绝了该请求"
    assert mei.balance() == before
    mei.refused("GET", broken["links"]["result"], None, (409, "GENERATION_FAILED", "AI生成失败，请稍后重试"))
    again = mei.call("POST", f"/api/jobs/{broken['jobId']}/retry", status=202)
    assert again["jobId"] != broken["jobId"]
    assert mei.finished(again["jobId"])["status"] == "failed"
    fine = mei.generate("echo", "回声")
    mei.finished(fine["jobId"])
    mei.refused(
        "POST", f"/api/jobs/{fine['jobId']}/retry", None, (409, "JOB_NOT_FAILED", "只有失败或已取消的任务可以重试")
    )


@drives("GET /api/payments/credits/history")
def test_the_statement_adds_up(stack: Stack) -> None:
    qiu = FrontEnd(stack, "qiu").register().verify()
    qiu.login()
    job = qiu.generate("echo", "回声")
    qiu.finished(job["jobId"])
    history = qiu.call("GET", "/api/payments/credits/history?page=1&limit=20")
    assert history["pagination"] == {"page": 1, "limit": 20, "total": 2, "pages": 1}
    used, bonus = history["transactions"]
    assert_keys(used, expected=TRANSACTION)
    assert (used["type"], used["amount"], used["balanceAfter"]) == ("usage", -1, WELCOME - 1)
    assert used["description"] == "使用Agent: 回声"
    assert (used["relatedType"], used["relatedId"]) == ("job", job["jobId"])
    assert (bonus["type"], bonus["amount"], bonus["balanceAfter"]) == ("bonus", WELCOME, WELCOME)
    assert all(ID.fullmatch(line["id"]) and MOMENT.fullmatch(line["createdAt"]) for line in (used, bonus))
    assert qiu.balance() == {"balance": WELCOME - 1, "held": 0, "available": WELCOME - 1}
    table = qiu.answer("GET", "/api/payments/credits/history", Accept="text/csv")
    assert table.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert table.headers["Cache-Control"] == "no-store"
    heading, *lines = table.content.decode("utf-8-sig").split("\r\n")
    assert heading == "createdAt,type,amount,balanceAfter,description,relatedType,relatedId"
    assert [line.split(",")[1:5] for line in lines if line] == [
        ["usage", "-1", str(WELCOME - 1), "使用Agent: 回声"],
        ["bonus", str(WELCOME), str(WELCOME), bonus["description"]],
    ]
    assert qiu.call("GET", "/api/auth/profile")["totalSpent"] == 1


# -- B: the credits service


@drives("GET /health", "POST /auth/login", "POST /auth/verify", "GET /credits/balance", "POST /credits/consume")
@drives("POST /logs/create", "GET /api/health", "GET /api/health/live", "GET /api/health/ready", "GET /health/live")
@drives("GET /health/ready")
def test_the_credits_service(stack: Stack) -> None:
    user = FrontEnd(stack, "user")
    for path in ("/health", "/health/live", "/health/ready", "/api/health", "/api/health/live", "/api/health/ready"):
        health = user.call("GET", path)
        assert (health["status"], type(health["timestamp"])) == ("ok", int)
    assert user.call("GET", "/health").keys() == {"status", "timestamp"}
    signed_in = user.call("POST", "/auth/login", {"email": user.email, "password": "password123"})
    token = signed_in.pop("token")
    assert signed_in == {"success": True, "userId": user.email, "email": user.email, "name": "user"}
    wrong = {"email": user.email, "password": "password124"}
    user.refused("POST", "/auth/login", wrong, (401, "INVALID_CREDENTIALS", "用户名或密码错误"))
    verified = user.call("POST", "/auth/verify", {"token": token})
    assert verified == {"valid": True, "userId": user.email, "email": user.email}
    assert user.call("POST", "/auth/verify", {"token": "jwt-token-here"}) == {"valid": False}

    user.refused("GET", "/credits/balance", None, (401, "UNAUTHORIZED", "未授权"))
    user.headers = {"Authorization": f"Bearer {token}", "X-User-Id": user.email}
    assert user.call("GET", "/credits/balance") == {"balance": WELCOME}
    body: Json = {"amount": 5, "action": "jimeng_video_generation"}
    spent = user.call("POST", "/credits/consume", body)
    assert_keys(spent, expected={"success", "balance", "transactionId"})
    assert (spent["success"], spent["balance"]) == (True, 95)
    assert ID.fullmatch(spent["transactionId"].removeprefix("txn-"))
    problem = user.refused(
        "POST", "/credits/consume", {**body, "amount": 96}, (402, "INSUFFICIENT_CREDITS", "积分不足")
    )
    assert (problem["balance"], problem["required"]) == (95, 96)
    assert user.call("GET", "/credits/balance") == {"balance": 95}
    log: Json = {"userId": user.email, "action": "jimeng_video_generation", "details": {"creditCost": 5}}
    kept = user.call("POST", "/logs/create", {**log, "success": True, "timestamp": "2025-01-01T00:00:00.000Z"})
    assert ID.fullmatch(kept["logId"].removeprefix("log-"))
    other = {**log, "userId": "someone@example.com"}
    user.refused("POST", "/logs/create", other, (403, "FORBIDDEN", "权限不足"))
    user.headers["X-User-Id"] = "someone@example.com"
    user.refused("GET", "/credits/balance", None, (403, "FORBIDDEN", "权限不足"))
