"""The control API is for this machine, and for no page that a browser on it shows."""

import httpx
import pytest
from aiohttp.test_utils import make_mocked_request

from sandbox import control
from tests.sandbox.conftest import Merchant, number
from tests.sandbox_server import SandboxRefused, SandboxServer


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "sandbox.example"},
        {"Host": "192.0.2.1:80"},
        {"Origin": "http://127.0.0.1:8000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": ""},
    ],
)
@pytest.mark.parametrize("path", ["pay", "faults", "reset", "books"])
def test_it_is_not_for_browsers_and_other_names(sandbox: SandboxServer, headers: dict[str, str], path: str) -> None:
    method = "GET" if path == "books" else "POST"
    answer = httpx.request(method, f"{sandbox.url}/__ctl/{path}", headers=headers, trust_env=False)
    assert answer.status_code == 403


@pytest.mark.parametrize(("address", "refused"), [("127.0.0.1", False), ("192.0.2.7", True), ("", True)])
def test_it_is_not_for_other_machines(address: str, refused: bool) -> None:  # noqa: FBT001
    request = make_mocked_request("GET", "/__ctl/books", headers={"Host": "127.0.0.1"}).clone(remote=address)
    assert (control.elsewhere(request) is not None) is refused


@pytest.mark.parametrize("body", [{"speed": 0}, {"speed": "fast"}, {"wechat_notices": "none"}, {"ahead_ms": "soon"}])
def test_settings_that_make_no_sense_are_refused(sandbox: SandboxServer, body: dict[str, object]) -> None:
    with pytest.raises(SandboxRefused, match="400"):
        sandbox.set(**body)


def test_unknown_orders_are_unknown(sandbox: SandboxServer) -> None:
    for verb in ("pay", "close", "refund", "finish", "end_refund", "send"):
        with pytest.raises(SandboxRefused, match="404 absent"):
            sandbox.control(verb, order_no=number())


def test_the_rules_hold_for_it_too(merchant: Merchant, sandbox: SandboxServer) -> None:
    order_no = number()
    merchant.native(order_no)
    with pytest.raises(SandboxRefused, match="409 unpaid"):
        sandbox.refund(order_no, amount_fen=1)
    sandbox.close(order_no)
    with pytest.raises(SandboxRefused, match="409 closed"):
        sandbox.pay(order_no)
