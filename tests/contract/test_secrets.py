"""What users entrust to the platform appears in no log, of no role, at the most talkative level; and nobody is obeyed
who can write to the broker and nothing else.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from typing_extensions import override

from atelier.catalog.seed_content import ECHO
from atelier.contracts import messages, oplog, queues
from atelier.dispatch import broker
from tests.contract.conftest import Place
from tests.contract.front_end import PASSWORD, FrontEnd
from tests.servers import until
from tests.stack import SECRET, Stack

CANARY = "canary-prompt-7c1e"
PROMPT = f"{CANARY} 一只不该被看见的金丝雀"
OTHER_PASSWORD = "canary-password-93ab"
WRONG_PASSWORD = "canary-wrong-44d0"
GENERATE = "/api/workshop/generate"


@pytest.fixture(scope="module")
def stack(place_on_sqlite: Place) -> Iterator[Stack]:
    place = place_on_sqlite
    made = Stack(place.database_url, place.redis_url, place.folder, env={"ATELIER_LOG_LEVEL": "debug"})
    made.start("media")
    made.start_all()
    yield made
    made.close()


def test_no_role_writes_down_what_it_is_told(stack: Stack) -> None:
    user = FrontEnd(stack, "canary").register()
    mailed = user.mailed_token("请验证您的邮箱")
    user.verify()
    first = str(user.login()["token"])
    _fail_to_sign_in(user)
    signature = _generate(user)
    ticket = str(user.call("POST", "/api/events/ticket")["ticket"])
    key = _use_a_key(user)
    body = {"currentPassword": PASSWORD, "newPassword": OTHER_PASSWORD}
    second = str(user.call("POST", "/api/auth/change-password", body)["token"])
    user.headers = {"Authorization": f"Bearer {second}"}
    for token in (first, second):
        user.call("POST", "/auth/verify", {"token": token})
    _ask_wrongly(user, first)
    until(lambda: all(process.log.stat().st_size for process in stack.processes.values()), what="every role speaks")

    secrets = {PASSWORD, OTHER_PASSWORD, WRONG_PASSWORD, PROMPT, CANARY, mailed, ticket, signature, SECRET, key}
    secrets |= {part for token in (first, second) for part in (token, token.rpartition(".")[2])}
    written = {role: process.log.read_text("utf-8") for role, process in stack.processes.items()}
    written["operation log"] = stack.database.read(_operations)
    for where, text in written.items():
        assert [secret for secret in secrets if secret in text or _escaped(secret) in text] == [], where
    assert user.email not in written["media"], "workers know ids only"
    assert '"level": "debug"' in written["web"]


def _use_a_key(user: FrontEnd) -> str:
    """Make an API key, ask with it what it opens and what it does not, mistype it, and revoke it."""
    made = user.call("POST", "/api/keys", {"name": CANARY, "scopes": ["jobs:read"]}, status=201)
    key = str(made["key"])
    for path, token, status in (
        ("jobs", key, 200),
        ("files", key, 403),
        ("jobs", key[:-1], 401),
        (f"jobs?{key}=1", key, 400),
    ):
        answer = user.stack.client.get(f"/api/{path}", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status, answer.text
    user.call("DELETE", f"/api/keys/{made['id']}")
    return key


def _operations(session: Session) -> str:
    """Every row of the operation log."""
    rows = session.connection().execute(select(oplog.TABLE))
    text = "\n".join(str(row) for row in rows)
    assert "USER_REGISTER" in text
    return text


def _escaped(text: str) -> str:
    """As it would stand in a line of JSON."""
    return text.encode("unicode_escape").decode()


def _fail_to_sign_in(user: FrontEnd) -> None:
    for login_id, password in ((user.name, WRONG_PASSWORD), (WRONG_PASSWORD, PASSWORD)):
        user.call("POST", "/api/auth/login", {"loginId": login_id, "password": password}, status=401)
    user.call("POST", "/api/auth/reset-password", {"token": WRONG_PASSWORD, "password": OTHER_PASSWORD}, status=400)


def _generate(user: FrontEnd) -> str:
    """Jobs that go well and jobs that go wrong; answers the signature of a link."""
    picture = user.generate("poster-maker", PROMPT, width=256, height=256)
    for config in ({}, {"fail": "permanent"}, {"fail": "transient", "failTimes": 1}):
        user.finished(user.generate("echo", PROMPT, **config)["jobId"])
    user.finished(user.generate("outline-writer", PROMPT)["jobId"])
    user.finished(picture["jobId"])
    assert list(user.events(picture["links"]["events"]))
    (output,) = user.call("GET", picture["links"]["result"])["outputs"]
    user.answer("GET", output["url"])
    return str(output["url"]).rpartition("signature=")[2]


def _ask_wrongly(user: FrontEnd, token: str) -> None:
    """Requests whose refusal might repeat what they said."""
    for body in ({"agentId": PROMPT, PROMPT: PROMPT}, {"agentId": ECHO.id, "inputData": {"prompt": [PROMPT]}}):
        problem = user.call("POST", GENERATE, body, status=400)
        assert PROMPT not in [detail["message"] for detail in problem["details"]]
    for path in (f"/api/agents?search={token}&{PROMPT}=1", f"/api/agents/{token}", f"/nowhere/{token}?token={token}"):
        assert user.stack.client.get(path, headers={"Authorization": f"Bearer {token}x"}).is_client_error
    for text in (PROMPT, f'{{"loginId":"{PROMPT}","password":', f'{{"password":"{OTHER_PASSWORD}"}}'):
        answer = user.stack.client.post(
            "/api/auth/login", content=text.encode(), headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 400
        assert PROMPT not in answer.text


class Bomb:
    """Unpickled, it leaves a file behind."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def test_what_was_put_into_the_broker_by_hand_is_not_executed(stack: Stack, tmp_path: Path) -> None:
    file, run = tmp_path / "executed", messages.RUN["text"].name
    app = broker.build(stack.settings())
    for task, args, serializer in (
        ("os.system", [f"touch {file}"], "json"),
        (run, [Bomb(file)], "pickle"),
        (run, [{"job_id": "' OR 1=1 --"}], "json"),
        (run, [{"job_id": {"$ne": None}}], "json"),
        (run, ["nonsense", 5], "json"),
        (run, [], "json"),
    ):
        _send(app, task, args, serializer=serializer)
    user = FrontEnd(stack, "after").register()
    user.login()
    # Queues are first in, first out: what was put in before is gone when this has ended.
    assert user.finished(user.generate("echo", "回声")["jobId"])["status"] == "completed"
    assert not file.exists()


def _send(app: broker.Application, task: str, args: list[Any], *, serializer: str) -> None:
    with app.connection_for_write() as connection:
        app.send_task(task, args, queue=queues.GENERATION_TEXT, serializer=serializer, connection=connection)
