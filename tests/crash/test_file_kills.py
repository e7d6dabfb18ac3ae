"""A worker that dies while it looks at an upload: another looks again, one file is kept, and nothing is left over."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from atelier.files import collecting, names
from atelier.files.models import FILES
from atelier.kernel.clock import HOUR_MS, now_ms
from atelier.storage import stores
from tests.servers import until
from tests.stack import Stack

TEXT = "一段要直接上传的文字".encode()


@pytest.fixture
def stack(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Stack]:
    """Those who take an upload; the worker comes later."""
    made = Stack(database_url, redis_url, tmp_path, env={"ATELIER_WEB_RELAY": "false"})
    made.start("web", "relay")
    yield made
    made.close()


def _overdue(session: Session) -> None:
    session.execute(update(FILES).values(due_ms=0))


@pytest.mark.parametrize("point", [pytest.param("files.after_claim", marks=pytest.mark.proof), "files.after_keep"])
def test_an_upload_outlives_the_worker_that_looks_at_it(stack: Stack, point: str) -> None:
    headers = stack.user("mei")

    def ask(method: str, path: str, **more: Any) -> Any:
        answer = stack.client.request(method, f"/api/files/{path}", headers=headers, **more)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    form = ask("POST", "uploads", json={"name": "a.txt", "size": len(TEXT), "type": "text/plain"})
    sent = stack.client.post(form["url"], data=form["fields"], files={"file": ("a.txt", TEXT, "text/plain")})
    assert sent.status_code == 204, sent.text
    stack.start("media", fault=f"{point}:kill:1")
    doomed = stack.processes["media"]
    assert ask("POST", f"uploads/{form['id']}/complete")["status"] == "checking"
    storage = stores.choose(stack.settings())
    until(lambda: stack.database.read(_tries) == 1, what="the worker has claimed it", seconds_max=40)
    if point == "files.after_keep":
        until(lambda: storage.keys(names.FILES, limit=9), what="the worker has kept it")
    doomed.kill()
    assert ask("GET", f"uploads/{form['id']}")["status"] == "checking"
    stack.database.transact(_overdue)
    assert collecting.collect(stack.database, storage=storage, now_ms=now_ms())["requeued"] == 1
    stack.start("media")
    until(lambda: ask("GET", f"uploads/{form['id']}")["status"] == "ready", what="another has looked", seconds_max=40)
    assert stack.client.get(f"/api/files/{form['id']}", headers=headers).content == TEXT
    until(lambda: not storage.keys(names.INCOMING, limit=9), what="its first place is empty")
    collecting.collect(stack.database, storage=storage, now_ms=now_ms() + 3 * HOUR_MS)
    assert len(storage.keys(names.FILES, limit=9)) == 1


def _tries(session: Session) -> int:
    tries: int = session.execute(select(FILES.c.tries)).scalar_one()
    return tries
