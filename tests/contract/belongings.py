"""Things of a user that routes ask for by their ids."""

from collections.abc import Mapping
from typing import Any

from atelier.catalog.seed_content import ECHO
from atelier.contracts import dead_messages as messages
from atelier.contracts.dead_messages import Dead
from atelier.files import direct, names, service
from atelier.files.direct import Announcement
from atelier.files.service import NewFile, Quota
from atelier.generation.callbacks import Callbacks
from atelier.kernel import clock
from atelier.kernel.ids import new_id
from atelier.notifications import service as notifications
from atelier.notifications.service import Notice
from atelier.orders import cases, days, statements
from atelier.orders import service as orders
from atelier.orders.cases import NewCase
from atelier.orders.numbers import new_order_no
from atelier.orders.seeding import OFFERED
from atelier.orders.service import NewOrder
from atelier.storage import stores
from atelier.webhooks import by_hand, endpoints, signing
from atelier.webhooks.endpoints import NewWebhook
from tests.contract import attacks
from tests.jobs import keys
from tests.stack import KEYRING, Stack
from web.schemas.agent_body import AgentBody

KIND = "text/plain"


def files(stack: Stack, owner: str, upload_id: str) -> dict[str, str]:
    """A file of this user, and an upload that was announced."""
    quota, now = Quota(files_max=10, bytes_max=10_000), clock.now_ms()
    key, incoming = (names.new_key(folder, content_type=KIND) for folder in (names.FILES, names.INCOMING))
    stores.choose(stack.settings()).put(key, b"x", content_type=KIND)
    file = NewFile(
        id=new_id(), owner_id=owner, kind="upload", name="a.txt", type=KIND, size=1, sha256="0" * 64, key=key
    )
    upload = Announcement(id=upload_id, owner_id=owner, name="a.txt", type=KIND, size=len(attacks.UPLOAD), key=incoming)
    stack.database.transact(service.add, file, quota=quota, keyed=None, now_ms=now)
    stack.database.transact(direct.announce, upload, quota=quota, form_ms=600_000, keyed=None, now_ms=now)
    return {"fileId": file.id, "uploadId": upload_id}


def order(stack: Stack, user_id: str) -> str:
    """An order that this user has not paid."""
    made = NewOrder(
        id=new_id(),
        order_no=new_order_no(clock.now_ms()),
        user_id=user_id,
        provider="alipay",
        channel="page",
        amount_fen=990,
        credits=100,
        package_id=next(iter(OFFERED)),
        items=[
            {"id": next(iter(OFFERED)), "version": 1, "nameZh": "套餐", "nameEn": "-", "priceFen": 990, "credits": 100}
        ],
        return_url=None,
        lasts_ms=clock.HOUR_MS,
    )
    return stack.database.transact(orders.create, made, now_ms=clock.now_ms()).id


def statement(stack: Stack) -> str:
    """A day of a gateway's books, which belongs to nobody; administrators read it."""
    statement_id, yesterday = new_id(), days.shifted(days.day_of(clock.now_ms()), -1)
    new = {yesterday: statement_id}
    stack.database.transact(statements.add, provider="alipay", new=new, now_ms=clock.now_ms())
    return statement_id


def things(stack: Stack, user_id: str) -> dict[str, str]:
    """An API key and a notification of this user."""
    return {"keyId": key(stack, user_id), "notificationId": notification(stack, user_id)}


def key(stack: Stack, user_id: str) -> str:
    """An API key of this user."""
    return keys.make(stack.database, user_id, scopes=["jobs:read"]).id


def notification(stack: Stack, user_id: str) -> str:
    """A notification of this user."""
    notice = Notice(id=new_id(), user_id=user_id, kind="role_changed", data={"role": "user"})
    stack.database.transact(notifications.notify, notice, now_ms=clock.now_ms())
    return notice.id


def webhook(stack: Stack, user_id: str) -> dict[str, str]:
    """An endpoint of this user, and an event for it that waits."""
    new, now = NewWebhook(id=new_id(), user_id=user_id, url="https://example.com/hook"), clock.now_ms()
    sealed = signing.seal(KEYRING, signing.new_secret())
    stack.database.transact(endpoints.create, new, sealed=sealed, endpoints_max=10, now_ms=now)
    event = stack.database.transact(by_hand.ping, webhook_id=new.id, user_id=user_id, event_id=new_id(), now_ms=now)
    return {"webhookId": new.id, "eventId": event.id}


def case(stack: Stack) -> str:
    """A case of a payment that nobody had ordered."""
    new = NewCase(id=new_id(), kind="unknown_order", key="x", provider="alipay", order_no="x", payment_no="x")
    return stack.database.transact(cases.open_once, new, now_ms=clock.now_ms())


def agent(stack: Stack, headers: Mapping[str, str]) -> str:
    """An agent of theirs that waits for its review."""
    (example,) = AgentBody.model_json_schema()["examples"]
    answer = stack.client.post("/api/agents", json=example, headers=headers)
    assert answer.is_success, answer.text
    return str(answer.json()["id"])


def wishes(stack: Stack, headers: Mapping[str, str]) -> dict[str, str]:
    """A job, and a batch of another, of whoever these headers sign in."""
    item = {"agentId": ECHO.id, "inputData": {"prompt": "回声"}}
    answer = stack.client.post("/api/jobs/batch", json={"items": [item]}, headers=headers)
    answer.raise_for_status()
    return {"jobId": stack.echo(headers).json()["jobId"], "batchId": answer.json()["batchId"]}


def projects(stack: Stack, *, owner: Mapping[str, str], subject: Mapping[str, str]) -> dict[str, str]:
    """A project with a version, on which the subject works too, and to which someone is invited; and a spare one."""

    def post(path: str, body: dict[str, Any], *, who: Mapping[str, str] = owner) -> Any:
        answer = stack.client.post(f"/api/workshop/projects{path}", json=body or None, headers=who)
        assert answer.is_success, answer.text
        return answer.json()

    project, spare = (post("", {"title": "草稿", "type": "text", "visibility": "team"})["id"] for _ in range(2))
    post(f"/{project}/versions", {"content": {}})
    post(f"/{project}/collaborate", {"username": "subject", "role": "viewer"})
    post(f"/{project}/collaborate/accept", {}, who=subject)
    post(f"/{project}/collaborate", {"email": "someone@example.com", "role": "viewer"})
    team = stack.client.get(f"/api/workshop/projects/{project}/collaborate", headers=owner).json()
    return {"projectId": project, "spareId": spare, "invitationId": team["invitations"][0]["id"]}


def callback(job_id: str) -> dict[str, str]:
    """Where a provider may tell of a job."""
    name, _, key = Callbacks("", KEYRING).url("kling", job_id).split("/")[-3:]
    return {"name": name, "attemptKey": key}


def dead_messages(stack: Stack) -> dict[str, str]:
    """Messages that nobody could handle: one to be sent again, and one to be forgotten."""
    found = {"messageId": new_id(), "spareMessageId": new_id()}
    for contract, message_id in zip(("jobs.sweep", "system.prune"), found.values(), strict=True):
        dead = Dead(contract=contract, message="{}", reason="crashed", error="KeyError")
        stack.database.transact(messages.bury, dead, message_id=message_id, now_ms=clock.now_ms())
    return found
