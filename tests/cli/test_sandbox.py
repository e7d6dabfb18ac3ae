"""`atelier sandbox`: what it prints makes a merchant of the one who reads it."""

import os
import shlex
import signal
from pathlib import Path

import httpx
import pytest

from atelier.kernel.settings import BadSettings, load
from tests.cli.conftest import ATELIER, ENGLISH, Run
from tests.conftest import ProcessFactory
from tests.sandbox_server import SandboxServer
from tests.servers import until

STRONG = {
    "ATELIER_ENV": "production",
    "DATABASE_URL": "mysql://atelier:secret-word@db.example/atelier",
    "JWT_SECRET": "8d0f3c6a2b7e4915c0d8f6a1e3b5927c",
    "ATELIER_FLOWER_AUTH": "ops:another-word",
}


def test_it_serves_what_it_prints_and_ends_when_asked(
    process: ProcessFactory, tmp_path: Path, sandbox: SandboxServer
) -> None:
    command = [*ATELIER, "sandbox", "--port", "0", "--data-dir", "data"]
    child = process(command, env=ENGLISH, cwd=tmp_path)
    child.start(ready=lambda: "Ctrl-C" in child.log.read_text(), seconds_max=60)
    lines = child.log.read_text().partition("The sandbox is at")[0]
    # Read as a shell does: keys are texts of several lines.
    words = shlex.split(lines)
    named = dict(word.split("=", 1) for word in words[1::2])
    assert (set(words[::2]), set(named)) == ({"export"}, set(sandbox.environment))
    assert named["ATELIER_ALIPAY_PRIVATE_KEY"].startswith("-----BEGIN PRIVATE KEY-----\n")
    url = named["ATELIER_WECHAT_URL"]
    until(lambda: answers(url), what="the sandbox answers")
    os.kill(child.pid, signal.SIGINT)
    assert child.child.wait(timeout=20) == 0


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).is_success
    except httpx.TransportError:
        return False


def test_its_settings_can_be_had_alone_and_stay_the_same(run: Run) -> None:
    first, again = (run("sandbox", "--settings", "--data-dir", "data") for _ in range(2))
    assert (first.returncode, first.stdout) == (0, again.stdout)
    assert "export ATELIER_WECHAT_URL=http://127.0.0.1:8600\n" in first.stdout


def test_it_is_nothing_for_production(run: Run) -> None:
    said = run("sandbox", "--settings", **STRONG)
    assert (said.returncode, said.stderr.strip()) == (2, "atelier: A sandbox is nothing for production")


def test_a_folder_belongs_to_one_sandbox(sandbox: SandboxServer, process: ProcessFactory) -> None:
    second = process(sandbox.command)
    second.start()
    assert second.child.wait(timeout=60) == 1
    assert "another sandbox has" in second.tail()


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:8600", "https://localhost", "https://[::1]/x", "https://", "https://["]
)
def test_production_pays_nobody_on_this_machine(url: str) -> None:
    ours = {"jwt_secret": STRONG["JWT_SECRET"], "database_url": STRONG["DATABASE_URL"], "flower_auth": "ops:word"}
    alipay = dict.fromkeys(("alipay_app_id", "alipay_seller_id", "alipay_private_key", "alipay_public_key"), "x")
    good = {"environment": "production", "public_url": "https://api.example", **ours, **alipay}
    assert load(**good).alipay_app_id == "x"
    with pytest.raises(BadSettings, match="alipay_url must be https://… and no sandbox on this machine"):
        load(**good, alipay_url=url)
