"""What docs/webhooks.md tells consumers to write does what it says."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.webhooks.desk import Desk
from tests.webhooks.receiver import Receiver

PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"
Verify = Callable[[str, Mapping[str, str], bytes], None]


@pytest.fixture
def verify() -> Verify:
    """The page's own function."""
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, PAGE, "exec"), names)  # noqa: S102 - it is ours, and this is its test
    found: Verify = names["verify"]
    return found


def test_the_example_takes_what_is_sent_and_nothing_else(desk: Desk, receiver: Receiver, verify: Verify) -> None:
    webhook = desk.webhook(receiver.url)
    desk.ended()
    desk.deliver(webhook.id)
    desk.rotate(webhook)
    desk.ended()
    desk.deliver(webhook.id)
    secret = desk.secrets[webhook.id]
    for got in receiver.received:
        verify(secret, got.headers, got.body)
        for headers, body in (
            (got.headers, got.body + b" "),
            ({**got.headers, "webhook-id": "other"}, got.body),
            ({**got.headers, "webhook-timestamp": "1781080794"}, got.body),
            ({**got.headers, "webhook-signature": "v1,AAAA v1a,AAAA"}, got.body),
        ):
            with pytest.raises(ValueError, match=r"signed|old"):
                verify(secret, headers, body)
    with pytest.raises(ValueError, match="signed"):
        verify("whsec_" + "A" * 44, receiver.received[0].headers, receiver.received[0].body)
