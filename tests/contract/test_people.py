"""Users, settings and notifications, as a front end and a mail program use them, against every role."""

import re
from collections.abc import Iterator
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser

import pytest

from atelier.kernel.clock import now_ms
from atelier.kernel.ids import new_id
from atelier.mail import mailbox
from atelier.notifications import service
from atelier.notifications.service import Notice
from atelier.onboarding import operator
from tests.contract.conftest import Place
from tests.contract.front_end import ID, MOMENT, PAGINATION, PASSWORD, PROFILE, FrontEnd, Json, assert_keys
from tests.contract.seed_routes import drives
from tests.servers import until
from tests.stack import Stack

PERSON = {
    *("id", "email", "emailVerified", "username", "displayName", "avatarUrl", "role", "status", "credits"),
    *("createdAt", "lastLoginAt"),
}
NOTIFICATION = {
    *("id", "kind", "category", "title", "message", "data", "refType", "refId", "read", "readAt", "createdAt"),
}


@pytest.fixture(scope="module")
def stack(place: Place) -> Iterator[Stack]:
    address = {"FRONTEND_URL": "https://shop.test", "ATELIER_PUBLIC_URL": "https://api.test"}
    made = Stack(place.database_url, place.redis_url, place.folder, env=address)
    made.start("generation", "relay", "web")
    yield made
    made.close()


@pytest.fixture(scope="module")
def mei(stack: Stack) -> FrontEnd:
    """Signed in, with a proved address."""
    made = FrontEnd(stack, "mei").register().verify()
    made.login()
    return made


@pytest.fixture(scope="module")
def admin(stack: Stack) -> FrontEnd:
    """An administrator."""
    operator.create_user(
        stack.database, email="boss@example.com", username="boss", password=PASSWORD, role="admin", amount=0
    )
    made = FrontEnd(stack, "boss")
    made.login()
    return made


def letter(user: FrontEnd, subject: str) -> EmailMessage:
    """The newest e-mail with this subject, once it has arrived."""
    place = mailbox.folder(user.stack.settings())
    found = until(
        lambda: [one for one in mailbox.listing(place, recipient=user.email) if one.subject == subject],
        what=f"an e-mail arrives: {subject}",
    )
    raw = (place / f"{found[0].name}.eml").read_bytes()
    return BytesParser(policy=policy.default).parsebytes(raw)


def newest(user: FrontEnd) -> Json:
    """The newest notification."""
    listed = user.call("GET", "/api/notifications?limit=1")
    assert_keys(listed, expected={"notifications", "unreadCount", "nextCursor", "pagination"})
    assert_keys(listed["pagination"], expected=PAGINATION)
    found: Json = listed["notifications"][0]
    assert_keys(found, expected=NOTIFICATION)
    assert ID.fullmatch(found["id"])
    assert MOMENT.fullmatch(found["createdAt"])
    return found


@drives("POST /api/admin/users/{userId}/credits", "PUT /api/users/settings", "GET /api/notifications")
@drives("POST /api/notifications/{notificationId}/read", "POST /api/notifications/read-all")
@drives("DELETE /api/notifications/{notificationId}")
def test_what_an_administrator_does_is_told_in_the_users_language(mei: FrontEnd, admin: FrontEnd) -> None:
    profile = mei.call("GET", "/api/auth/profile")
    user_id = profile["id"]
    change = {"amount": 5, "reason": "Thanks"}
    admin.call("POST", f"/api/admin/users/{user_id}/credits", change)
    message = letter(mei, "您的积分有调整")
    assert "+5。原因：Thanks" in newest(mei)["message"]
    assert message["List-Unsubscribe"] is None
    settings = mei.call("PUT", "/api/users/settings", {"locale": "en", "theme": "dark"})
    assert (settings["locale"], settings["theme"]) == ("en", "dark")
    admin.call("POST", f"/api/admin/users/{user_id}/credits", change)
    message = letter(mei, "Your credits were adjusted")
    assert message["Content-Language"] == "en"
    told = newest(mei)
    assert (told["kind"], told["title"], told["read"]) == ("credits_adjusted", "Your credits were adjusted", False)
    mei.call("POST", f"/api/notifications/{told['id']}/read")
    assert newest(mei)["read"]
    mei.call("POST", "/api/notifications/read-all")
    assert mei.call("GET", "/api/notifications")["unreadCount"] == 0
    mei.call("DELETE", f"/api/notifications/{told['id']}")
    mei.call("DELETE", f"/api/notifications/{told['id']}", status=404)


@drives("GET /api/users/settings")
def test_a_mail_program_unsubscribes_by_one_click(stack: Stack, mei: FrontEnd) -> None:
    user_id = mei.call("GET", "/api/auth/profile")["id"]
    mei.call("PUT", "/api/users/settings", {"locale": "zh", "notifications": {"sales": {"email": True}}})
    data = {"agentName": "海报", "amount": 80}
    notice = Notice(id=new_id(), user_id=user_id, kind="agent_sold", data=data)
    stack.database.transact(service.notify, notice, now_ms=now_ms())
    message = letter(mei, "您的 Agent 有新的购买")
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    address = re.fullmatch(
        r"<https://api\.test(/api/notifications/unsubscribe\?token=\S+)>", message["List-Unsubscribe"]
    )
    assert address
    page = stack.client.get(address[1])
    assert (page.status_code, "<button>确认退订</button>" in page.text) == (200, True)
    for _ in range(2):
        answer = stack.client.post(address[1], data={"List-Unsubscribe": "One-Click"})
        assert (answer.status_code, answer.json()["success"]) == (200, True)
    assert mei.call("GET", "/api/users/settings")["notifications"]["sales"] == {"email": False, "live": True}
    visitor = FrontEnd(stack, "visitor")
    visitor.refused("POST", address[1] + "x", None, (400, "TOKEN_INVALID", "链接无效或已过期"))


@drives("GET /api/users/{userId}", "PUT /api/users/{userId}")
def test_profiles_of_oneself_and_of_others(mei: FrontEnd, admin: FrontEnd) -> None:
    user_id = mei.call("GET", "/api/auth/profile")["id"]
    changed = mei.call("PUT", f"/api/users/{user_id}", {"displayName": "梅", "bio": "插画师"})
    assert changed == {"id": user_id, "displayName": "梅", "bio": "插画师", "avatarUrl": None}
    assert_keys(mei.call("GET", f"/api/users/{user_id}"), expected=PROFILE)
    public = admin.call("GET", f"/api/users/{user_id}")
    assert_keys(public, expected={"id", "username", "displayName", "avatarUrl", "bio", "agentsCount", "createdAt"})
    admin.refused("PUT", f"/api/users/{user_id}", {"bio": "x"}, (404, "NOT_FOUND", "资源不存在"))


@drives("GET /api/admin/users", "POST /api/admin/users/{userId}/role", "POST /api/admin/users/{userId}/disable")
@drives("POST /api/admin/users/{userId}/enable", "GET /api/admin/audit")
def test_an_administrator_looks_after_people(stack: Stack, admin: FrontEnd) -> None:
    lin = FrontEnd(stack, "lin").register()
    lin.login()
    (person,) = admin.call("GET", "/api/admin/users?search=lin@example&role=user&status=active")["users"]
    assert_keys(person, expected=PERSON)
    assert_keys(person["credits"], expected={"balance", "held", "available", "debt", "spent"})
    assert (person["username"], MOMENT.fullmatch(person["lastLoginAt"]) is not None) == ("lin", True)
    path = f"/api/admin/users/{person['id']}"
    lin.refused("GET", "/api/admin/users", None, (403, "FORBIDDEN", "权限不足"))
    FrontEnd(stack, "visitor").refused("GET", "/api/admin/users", None, (401, "UNAUTHORIZED", "未授权"))
    assert admin.call("POST", f"{path}/role", {"role": "creator", "reason": "通过审核"})["role"] == "creator"
    assert admin.call("POST", f"{path}/disable", {"reason": "盗用作品"})["status"] == "disabled"
    lin.refused("GET", "/api/auth/profile", None, (401, "UNAUTHORIZED", "未授权"))
    body = {"loginId": "lin", "password": PASSWORD}
    lin.refused("POST", "/api/auth/login", body, (401, "INVALID_CREDENTIALS", "用户名或密码错误"))
    assert admin.call("POST", f"{path}/enable", {"reason": "误会"})["status"] == "active"
    lin.login()
    found = admin.call("GET", f"/api/admin/audit?action=ADMIN_&resourceId={person['id']}")
    assert_keys(found, expected={"operations", "nextCursor"})
    assert [(one["action"], one["details"]["reason"]) for one in found["operations"]] == [
        ("ADMIN_USER_ENABLE", "误会"),
        ("ADMIN_USER_DISABLE", "盗用作品"),
        ("ADMIN_USER_ROLE", "通过审核"),
    ]


@drives("GET /api/admin/categories", "POST /api/admin/categories", "PUT /api/admin/categories/{categoryId}")
@drives("DELETE /api/admin/categories/{categoryId}", "GET /api/admin/analytics")
def test_an_administrator_arranges_the_shelves_and_reads_the_figures(stack: Stack, admin: FrontEnd) -> None:
    body = {"slug": "teaching", "nameZh": "教学课件", "nameEn": "Teaching", "color": "#0ea5e9", "position": 9}
    made = admin.call("POST", "/api/admin/categories", body, status=201)
    path = f"/api/admin/categories/{made['id']}"
    assert admin.call("PUT", path, {**body, "nameZh": "课件"}) == {"success": True}
    (shelf,) = (one for one in admin.call("GET", "/api/admin/categories")["categories"] if one["id"] == made["id"])
    assert shelf == {**body, "id": made["id"], "nameZh": "课件", "count": 0}
    shown = FrontEnd(stack, "visitor").call("GET", "/api/agents/categories")["categories"]
    assert "课件" in [one["name"] for one in shown]
    assert admin.call("DELETE", path) == {"success": True}
    admin.refused("PUT", path, body, (404, "CATEGORY_NOT_FOUND", "分类不存在"))

    figures = admin.call("GET", "/api/admin/analytics?granularity=hour&metrics=signUps,credits")
    wanted = {"from", "to", "granularity", "utcOffsetHours", "liveFrom", "points", "total", "top"}
    assert_keys(figures, expected=wanted)
    assert figures["total"]["signUps"] >= 1
    assert (len(figures["points"]), figures["points"][0]["jobs"]) == (30, None)
    table = admin.answer("GET", "/api/admin/analytics?granularity=hour&metrics=signUps", Accept="text/csv")
    assert table.content.decode("utf-8-sig").startswith("at,signUps\r\n")
