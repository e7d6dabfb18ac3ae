"""The sandbox of both gateways as a process, and what a test does with it: pay, misbehave, read the books.

sandbox         one sandbox for all tests of a process, with new books, no faults and the right time for each of them
sandbox_server  sandbox_server() -> a sandbox of the test's own, to kill and start again
"""

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from atelier.gateways import sandbox_identity
from tests.servers import LOOPBACK, NO_AUTHORITIES, Process, free_port, until


class SandboxRefused(AssertionError):
    """The control API says no; the message is its reason."""


class SandboxServer(Process):
    """`python -m sandbox` in a folder. Killed and started again, it goes on with its keys and books.

    `keys` is a folder with keys to begin with, because making them takes longer than all the rest.
    """

    def __init__(self, folder: Path, *, keys: Path | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._http = httpx.Client(base_url=self.url, timeout=30, trust_env=False, verify=NO_AUTHORITIES)
        folder.mkdir(parents=True, exist_ok=True)
        if keys is not None:
            shutil.copytree(keys, folder, dirs_exist_ok=True)
        command = [sys.executable, "-m", "sandbox", "--data-dir", str(folder), "--port", str(self.port)]
        super().__init__(command, log=folder / "log")

    @property
    def settings(self) -> Mapping[str, str]:
        """What makes a merchant of this sandbox of us: overrides for Settings."""
        return sandbox_identity.settings(sandbox_identity.kept(self.folder), url=self.url)

    @property
    def environment(self) -> Mapping[str, str]:
        """The same for a child process."""
        return {f"ATELIER_{name.upper()}": value for name, value in self.settings.items()}

    def run(self) -> "SandboxServer":
        """Start, or start again, and wait until it answers."""
        self.start(ready=self._answers)
        return self

    def remove(self) -> None:
        """Kill it and close our connections."""
        self.kill()
        self._http.close()

    # -- what payers do

    def open(self, payment_url: str) -> str:
        """Open a payment address as a browser would; answers the address of the cashier page."""
        answer = self._http.get(payment_url, follow_redirects=True)
        if not answer.is_success:
            raise SandboxRefused(f"{answer.status_code} {answer.text}")
        return str(answer.url)

    def pay_at(self, payment_url: str, button: str = "pay") -> str:
        """Press a button of the cashier page: `pay`, `fail` or `close`. Answers the page afterwards."""
        page = self.open(payment_url)
        parts = urlsplit(page)
        query = f"?{parts.query}" if parts.query else ""
        answer = self._http.post(urljoin(page, f"{parts.path}/{button}{query}"), follow_redirects=True)
        return answer.text

    # -- what happens at the gateways

    def pay(self, order_no: str, **options: Any) -> dict[str, Any]:
        """Somebody pays: `amount_fen`, `buyer`, `again`, `late`."""
        return self.control("pay", order_no=order_no, **options)

    def close(self, order_no: str) -> dict[str, Any]:
        """The gateway closes it."""
        return self.control("close", order_no=order_no)

    def refund(self, order_no: str, **options: Any) -> dict[str, Any]:
        """Somebody pays back on the gateway's own pages: `amount_fen`, `refund_no`, `notify`."""
        return self.control("refund", order_no=order_no, **options)

    def fault(self, kind: str, **options: Any) -> None:
        """Arm a fault: see sandbox/faults.py for kinds and options."""
        self.control("faults", kind=kind, **options)

    def behave(self) -> None:
        """Disarm every fault."""
        self._http.delete("/__ctl/faults").raise_for_status()

    def set(self, **options: Any) -> None:
        """`speed` of the schedules, `ahead_ms` of the clock, `wechat_notices`: public_key, certificate or mixed."""
        self.control("settings", **options)

    def send(self, notice_id: int) -> None:
        """Have a notice sent now, again or at last."""
        self.control("send", notice_id=notice_id)

    def control(self, verb: str, **body: Any) -> dict[str, Any]:
        """A call of the control API. Raises SandboxRefused."""
        answer = self._http.post(f"/__ctl/{verb}", json=body)
        if not answer.is_success:
            raise SandboxRefused(f"{answer.status_code} {answer.json()['reason']}")
        found: dict[str, Any] = answer.json()
        return found

    def reset(self) -> None:
        """New books, no faults, the right time."""
        self.control("reset")

    # -- what is in the books

    def books(self) -> dict[str, Any]:
        """All trades with their payments and refunds, all notices with their attempts, and totals in fen."""
        found: dict[str, Any] = self._http.get("/__ctl/books").raise_for_status().json()
        return found

    def trade(self, order_no: str) -> dict[str, Any]:
        """One trade."""
        return next(one for one in self.books()["trades"] if one["order_no"] == order_no)

    def notices(self, order_no: str) -> Sequence[dict[str, Any]]:
        """The notices of one order, in the order in which they were written."""
        return [one for one in self.books()["notices"] if one["order_no"] == order_no]

    def until_quiet(self, *, seconds_max: float = 30) -> None:
        """Wait until no notice is on its way or due within a second. Those that wait for their hour don't count."""
        until(
            lambda: self._http.get("/__ctl/busy").json()["busy"] == 0,
            what="the sandbox has delivered its notices",
            seconds_max=seconds_max,
        )

    def _answers(self) -> bool:
        try:
            return self._http.get("/health").is_success
        except httpx.HTTPError:
            return False
