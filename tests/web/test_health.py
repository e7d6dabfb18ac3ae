"""Alive is cheap and true; ready names what fails and what only degrades."""

import asyncio
from collections.abc import Callable

import pytest

from atelier.generation import verdicts
from atelier.generation.doctor import Report
from atelier.kernel.database import Database
from atelier.kernel.invariants import Finding
from atelier.kernel.settings import Settings
from tests.servers import ValkeyServer, free_port
from tests.web import sample
from web.handlers import health

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest.mark.parametrize("path", ["/api/health", "/api/health/live", "/health", "/health/live"])
async def test_alive(settings: Callable[..., Settings], path: str) -> None:
    async with sample.serving(settings(), health.ENDPOINTS) as site:
        got = await site.ask("GET", path)
        assert (got.status, got.body["status"]) == (200, "ok")
        assert isinstance(got.body["timestamp"], int)
        assert set(got.body) == {"status", "timestamp"}
        assert got.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/api/health/ready", "/health/ready"])
async def test_ready(settings: Callable[..., Settings], path: str) -> None:
    async with sample.serving(settings(), health.ENDPOINTS) as site:
        got = await site.ask("GET", path)
        assert (got.status, got.body["status"], got.body["degraded"]) == (200, "ok", [])


async def test_a_broker_that_fails_only_degrades(settings: Callable[..., Settings]) -> None:
    away = f"redis://127.0.0.1:{free_port()}/0"
    async with sample.serving(settings(broker_url=away), health.ENDPOINTS) as site:
        got = await site.ask("GET", "/api/health/ready")
        assert (got.status, got.body["degraded"]) == (200, ["broker"])


async def test_a_frozen_broker_only_degrades_and_keeps_nobody_waiting(
    settings: Callable[..., Settings], valkey_server: Callable[..., ValkeyServer]
) -> None:
    server = valkey_server()
    async with sample.serving(settings(broker_url=server.url), health.ENDPOINTS) as site:
        server.freeze()
        try:
            async with asyncio.timeout(20):
                while (got := await site.ask("GET", "/api/health/ready")).body["degraded"] != ["broker"]:
                    assert got.status == 200
            assert (await site.ask("GET", "/api/health")).status == 200
        finally:
            server.thaw()


async def test_a_database_that_fails_makes_it_unready_and_is_named(settings: Callable[..., Settings]) -> None:
    away = f"mysql://nobody:secret@127.0.0.1:{free_port()}/atelier"
    async with sample.serving(settings(database_url=away), health.ENDPOINTS) as site:
        got = await site.ask("GET", "/api/health/ready")
        assert (got.status, got.code) == (503, "UNAVAILABLE")
        assert "database" in got.body["failed"]
        assert got.headers["Retry-After"]
        assert b"nobody" not in got.raw
        assert (await site.ask("GET", "/api/health")).status == 200


async def test_storage_that_fails_makes_it_unready_and_is_named(settings: Callable[..., Settings]) -> None:
    chosen = settings()
    chosen.data_dir.mkdir(parents=True, exist_ok=True)
    (chosen.data_dir / "files").write_text("where a folder should be")
    async with sample.serving(chosen, health.ENDPOINTS) as site:
        got = await site.ask("GET", "/api/health/ready")
        assert (got.status, got.body["failed"]) == (503, ["storage"])


@pytest.mark.parametrize(("check", "status"), [("account.posted", 503), ("job.output", 200)])
async def test_only_a_broken_promise_about_money_makes_it_unready(
    settings: Callable[..., Settings], db: Database, check: str, status: int
) -> None:
    found = Finding(check=check, severity="violation", subject="one", detail="")
    report = Report(findings=(found,), totals={check: 1}, violations=1, warnings=0, examined=1, whole=True)
    db.transact(verdicts.store, report, now_ms=1)
    async with sample.serving(settings(), health.ENDPOINTS) as site:
        assert (await site.ask("GET", "/api/health/ready")).status == status
