"""What may never stand in a log, however it gets there."""

from typing import Any

import pytest

from atelier.kernel import logs


def told(**event: Any) -> dict[str, Any]:
    return dict(logs.redact(None, "info", dict(event)))


@pytest.mark.parametrize(
    "name", ["password", "newPassword", "token", "Authorization", "api_key", "prompt", "inputData"]
)
def test_what_is_secret_by_its_name(name: str) -> None:
    hidden = {name: logs.HIDDEN}
    assert told(**{name: "hunter2"}) == hidden
    assert told(details={name: "hunter2"}, rows=[{name: "hunter2"}]) == {"details": hidden, "rows": [hidden]}


@pytest.mark.parametrize("password", ["hunter", "hun/hunter", "hun@hunter", "hun:hunt/hun@hunter", "hunter@"])
def test_a_password_within_an_address(password: str) -> None:
    for address in (f"mysql://atelier:{password}@db/atelier", f"redis://:{password}@valkey:6379/1"):
        sentence = told(event=f"can't reach {address} (timed out)", tried=[address])
        assert "hun" not in str(sentence)
        assert "(timed out)" in sentence["event"]


@pytest.mark.parametrize("secret", ["Bearer abc.def", "atk_0123abc", "eyJhbGciOi.eyJzdWIi.c2ln"])
def test_what_is_secret_by_its_shape(secret: str) -> None:
    assert secret.rpartition(" ")[2] not in str(told(event=f"got {secret}", error=secret, more={"said": secret}))


def test_everything_else_stays() -> None:
    event = {
        "event": "job.settled",
        "job_id": "1",
        "run_ms": 5,
        "where": "http://127.0.0.1:8000/docs",
        "rows": [1, None],
    }
    assert told(**event) == event
