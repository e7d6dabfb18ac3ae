"""`atelier up` from start to stop, as processes: each of these starts a whole platform."""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import httpx
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from atelier.cli import plan
from atelier.cli.demo_client import Account, Client
from atelier.cli.running import running
from atelier.kernel.settings import load
from tests.cli.conftest import ATELIER, ENGLISH, Run, StartUp, Up, command_line, is_alive
from tests.conftest import ProcessFactory
from tests.servers import until

ROLES = {"web", "worker-generation", "worker-media", "worker-money", "relay", "beat", "flower", "sandbox", "valkey"}
WORDS = (
    "web",
    "worker generation",
    "worker media",
    "worker money",
    "relay",
    "schedules",
    "flower",
    "sandbox",
    "valkey-server",
)


def somebody() -> Account:
    name = f"user_{secrets.token_hex(4)}"
    return Account(email=f"{name}@example.com", username=name, password=secrets.token_urlsafe(12))


async def echo(address: str, *, delay_ms: int = 0, meanwhile: Any = None) -> list[dict[str, Any]]:
    """Register, sign in and run a job; answers its events. `meanwhile` is called when it runs."""
    async with Client(address, language="en") as client:
        account = somebody()
        await client.register(account)
        assert await client.sign_in(account) == 100
        agent = (await client.agents())["echo"]
        job = await client.generate(agent, prompt="hello", config={"delayMs": delay_ms, "steps": 10})
        events: list[dict[str, Any]] = []
        async for event in client.events(job):
            events.append(event)
            if event["type"] == "job.progress" and meanwhile:
                await asyncio.to_thread(meanwhile)
                meanwhile = None
        assert [output.decode() for output in await client.outputs(job)] == ["hello"]
        assert await client.balance() == 100 - agent.price
        return events


@pytest.mark.timeout(240)
async def test_a_platform_works_heals_and_leaves_nothing_behind(up: StartUp, run: Run) -> None:
    platform = up()
    assert set(platform.roles) == ROLES
    lines = {command_line(pid) for pid in platform.roles.values()}
    assert all(any(word in line for line in lines) for word in WORDS)

    # A job survives the API that accepted it, and its watcher takes up the stream where it broke.
    events = await echo(platform.address, delay_ms=3_000, meanwhile=lambda: platform.kill("web"))
    numbers = [event["seq"] for event in events]
    assert events[-1]["type"] == "job.completed"
    assert numbers == sorted(set(numbers))

    for role in ("worker-generation", "worker-money", "valkey"):
        platform.kill(role)
    assert (await echo(platform.address))[-1]["type"] == "job.completed"

    heals_without_its_note(platform)
    said = run("doctor", "--data-dir", platform.data_dir)
    assert (said.returncode, "clean" in said.stdout) == (0, True), said.stdout
    refuses_a_second(platform, run)
    knows_its_flower(platform)
    leaves_nothing(platform, signal.SIGINT)
    assert platform.child.child.wait() == 0


def heals_without_its_note(platform: Up) -> None:
    """A role is started again each time that it dies, even where that can't be written down, as on a full disk."""
    note, beat = platform.data_dir / "run.json", platform.roles["beat"]
    note.rename(note.with_suffix(".kept"))
    note.mkdir()
    second = killed(platform, beat)
    third = killed(platform, second)
    note.rmdir()
    note.with_suffix(".kept").rename(note)
    os.kill(third, signal.SIGKILL)
    until(lambda: platform.roles["beat"] not in {beat, third}, what="the note is written again")


def killed(platform: Up, beat: int) -> int:
    """End who sends the schedules; answers who does so then."""
    os.kill(beat, signal.SIGKILL)
    return until(lambda: successor(platform, beat), what="beat is started again")


def successor(platform: Up, ended: int) -> int:
    """Who sends the schedules now, if not the one that has ended."""
    for pid in platform.everyone() - {ended}:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if "schedules" in command_line(pid) and is_alive(pid):
                return pid
    return 0


def refuses_a_second(platform: Up, run: Run) -> None:
    """Neither its directory nor its port can be had twice."""
    same_directory = run("up", "--port", "0", "--data-dir", platform.data_dir)
    assert same_directory.returncode == 2
    assert platform.address in same_directory.stderr
    port = platform.address.rpartition(":")[2]
    same_port = run("up", "--data-dir", "other", PORT=port)
    assert (same_port.returncode, same_port.stderr.count("\n")) == (2, 1)
    assert port in same_port.stderr


def knows_its_flower(platform: Up) -> None:
    """Flower is there, and not for everybody."""
    until(lambda: responds(platform.note["flower"]), what="Flower answers", seconds_max=30)
    assert httpx.get(f"{platform.note['flower']}/api/workers", trust_env=False).status_code == 401


def responds(address: str) -> bool:
    try:
        return bool(httpx.get(address, trust_env=False, timeout=5).status_code)
    except httpx.TransportError:
        return False


def leaves_nothing(platform: Up, asked: signal.Signals) -> None:
    """Ask it to end: 20 s later at most, nothing of it is there."""
    everyone = platform.everyone()
    assert set(platform.roles.values()) < everyone
    os.kill(platform.child.pid, asked)
    platform.child.child.wait(timeout=20)
    assert {pid: command_line(pid) for pid in everyone if is_alive(pid)} == {}
    assert platform.note == {}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("engine", ["mariadb"], indirect=True)
async def test_it_uses_the_servers_that_are_named_and_nothing_outlives_it_when_it_is_killed(
    database_url: str, redis_url: str, up: StartUp, run: Run
) -> None:
    settings = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "ATELIER_WELCOME_BONUS_ON": "registration"}
    platform = up(settings)
    assert set(platform.roles) == ROLES - {"valkey"}
    assert not (platform.data_dir / "atelier.db").exists()
    assert not (platform.data_dir / "admin-login").exists()
    assert (await echo(platform.address))[-1]["type"] == "job.completed"

    everyone = platform.everyone()
    os.kill(platform.child.pid, signal.SIGKILL)
    until(lambda: not any(is_alive(pid) for pid in everyone), what="everything is gone", seconds_max=10)
    # Its note is still there, its lock is not: the directory can be had again.
    again = run("migrate", "--data-dir", platform.data_dir)
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize("asked", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
async def test_it_stops_by_whatever_signal_it_is_asked(
    asked: signal.Signals, served: str, tmp_path: Path, sandbox_keys: Path
) -> None:
    shutil.copytree(sandbox_keys, tmp_path / "sandbox")
    planned = plan.make(load(data_dir=tmp_path, port=0), wants_model=False)
    # What is already there answers for the roles, which take seconds to start.
    alone = replace(planned, foundations=(), roles=(), address=served)
    async with running(alone, verbose=False) as platform:
        assert not platform.stopping.is_set()
        os.kill(os.getpid(), asked)
        await asyncio.wait_for(platform.stopping.wait(), timeout=10)


@pytest_asyncio.fixture
async def served() -> AsyncIterator[str]:
    """The address of something that says that it is well, whatever it is asked."""

    async def well(_request: web.Request) -> web.Response:
        return web.Response()

    application = web.Application()
    application.router.add_get("/{path:.*}", well)
    async with TestServer(application) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.mark.timeout(240)
def test_the_demo_makes_four_things_pays_for_them_and_buys_credits(
    process: ProcessFactory, tmp_path: Path, run: Run
) -> None:
    command = [*ATELIER, "demo", "--port", "0", "--data-dir", "data", "--output", "made"]
    demo = process(command, env={**ENGLISH, "DEMO_LLM": "0"}, cwd=tmp_path).start()
    assert demo.child.wait(timeout=200) == 0, demo.tail()
    assert {path.name for path in (tmp_path / "made").iterdir()} == {"text.md", "image.png", "audio.wav", "video.mp4"}
    said = demo.log.read_text()
    assert all(words in said for words in ("Doctor: clean", "+100", "-10", " 79", "100 credits for ¥9.90, paid", "179"))
    # What the gateway has booked is what was bought here.
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "sandbox" / "books.db")) as books:
        assert books.execute("SELECT amount_fen, payment_no FROM payments").fetchall() == [(990, ANY)]
    assert run("doctor", "--data-dir", "data").returncode == 0
