"""Which routes take an Idempotency-Key: every POST that creates or charges, unless there is a reason here."""

from typing import Any

import pytest

from tests.web import sample
from web import routes
from web.handlers import auth
from web.routing import Call, Endpoint
from web.schemas.auth import RegisterBody

# What asking twice does where no key is taken.
SINGLE_USE = "the mailed token is used up by the first; the second is refused and changes nothing"
ANOTHER_LETTER = "another letter is what is asked for; counted per address and account, and the answer never differs"
NOTHING_KEPT = "nothing is kept: what is made is signed, ends by itself, and one more of it takes nothing"
SAME_END = "a state is asked for, not a step: the second finds it reached"
REFUSED = "only one step leads on from here: the second is refused as out of turn"
SINGLE_USE_ROW = "the row is used up by the first; the second finds nothing"
ONCE_MORE = "it is made once more: nothing is charged, and who gets it knows it by its own id"
NAMED = "a notice has a name of its own, under which it is kept once"
WITHOUT_KEY = {
    "/api/auth/verify-email": SINGLE_USE,
    "/api/auth/reset-password": SINGLE_USE,
    "/api/auth/verify-email/resend": ANOTHER_LETTER,
    "/api/auth/forgot-password": ANOTHER_LETTER,
    "/api/auth/login": NOTHING_KEPT,
    "/auth/login": NOTHING_KEPT,
    "/auth/verify": NOTHING_KEPT,
    "/api/events/ticket": NOTHING_KEPT,
    "/api/workshop/quote": NOTHING_KEPT,
    "/api/auth/logout": SAME_END,
    "/api/auth/change-password": "the old password is wrong the second time",
    "/api/notifications/unsubscribe": SAME_END,
    "/api/notifications/read-all": SAME_END,
    "/api/notifications/{notificationId}/read": SAME_END,
    "/api/jobs/{jobId}/cancel": SAME_END,
    "/api/jobs/batch/{batchId}/cancel": SAME_END,
    "/api/admin/users/{userId}/role": SAME_END,
    "/api/admin/users/{userId}/disable": SAME_END,
    "/api/admin/users/{userId}/enable": SAME_END,
    "/api/agents/{agentId}/submit": REFUSED,
    "/api/files/uploads/{uploadId}/content": SAME_END,
    "/api/files/uploads/{uploadId}/complete": SAME_END,
    "/api/workshop/projects/{projectId}/restore": SAME_END,
    "/api/workshop/projects/{projectId}/versions/{version}/restore": SAME_END,
    "/api/workshop/projects/{projectId}/collaborate/accept": SAME_END,
    "/api/workshop/projects/{projectId}/collaborate/decline": SAME_END,
    "/api/admin/agents/{agentId}/approve": REFUSED,
    "/api/admin/agents/{agentId}/reject": REFUSED,
    "/api/admin/packages/{packageId}/retire": REFUSED,
    "/api/admin/payments/cases/{caseId}/resolve": REFUSED,
    "/api/admin/payments/statements/{statementId}/rerun": SAME_END,
    "/api/providers/{name}/callback/{attemptKey}": SAME_END,
    "/api/payments/webhooks/alipay": NAMED,
    "/api/payments/webhooks/wechat": NAMED,
    "/api/payments/orders/{orderId}/cancel": SAME_END,
    "/api/admin/jobs/{jobId}/cancel": SAME_END,
    "/api/admin/dead-letters/{jobId}/dismiss": REFUSED,
    "/api/admin/dead-messages/{messageId}/dismiss": SINGLE_USE_ROW,
    "/api/admin/dead-messages/{messageId}/replay": SINGLE_USE_ROW,
    **{
        f"/api/admin/{kind}/{act}": SAME_END
        for kind in ("queues/{queue}", "providers/{provider}")
        for act in ("pause", "resume", "drain")
    },
    "/api/admin/providers/{provider}/test": ONCE_MORE,
    "/api/webhook-events/{eventId}/redeliver": ONCE_MORE,
    "/api/webhooks/{webhookId}/ping": ONCE_MORE,
    "/api/payments/orders/{orderId}/pay": "another link of the same order, which is paid once",
}
POSTS = {one.path: one for one in routes.ENDPOINTS if one.method == "POST"}


def test_every_post_takes_a_key_or_has_a_reason_not_to() -> None:
    assert {path for path, one in POSTS.items() if not one.idempotent} - WITHOUT_KEY.keys() == set()


def test_no_reason_is_left_over() -> None:
    assert {path for path in WITHOUT_KEY if path not in POSTS or POSTS[path].idempotent} == set()


def test_only_what_creates_takes_a_key() -> None:
    assert {(one.method, one.path) for one in routes.ENDPOINTS if one.idempotent and one.method != "POST"} == set()


async def nothing(_call: Call) -> None:
    return None


@pytest.mark.parametrize("auth_of_row", ["public", "optional"])
def test_keys_of_strangers_have_an_owner_or_there_is_no_such_row(auth_of_row: Any) -> None:
    more: dict[str, Any] = {"path": "/x", "handler": nothing, "summary": ("", ""), "tag": "docs", "auth": auth_of_row}
    with pytest.raises(ValueError, match="whose is the key"):
        Endpoint(method="POST", idempotent=True, **more)
    Endpoint(method="POST", idempotent=True, key_owner=str, **more)


def test_of_a_registration_it_is_the_address_as_it_is_compared() -> None:
    (row,) = (one for one in auth.ENDPOINTS if one.path == "/api/auth/register")
    assert row.key_owner is not None

    def owner(email: str) -> str:
        assert row.key_owner is not None
        body = {"email": email, "username": "mei", "password": "correct horse battery"}
        return row.key_owner(RegisterBody.model_validate(body))

    assert owner("Mei@Example.com") == owner("ｍｅｉ＠example.com") == "mei@example.com" != owner("m@example.com")


def test_the_sample_has_one_for_users() -> None:
    assert [one.path for one in sample.TABLE if one.idempotent] == ["/api/keyed"]
