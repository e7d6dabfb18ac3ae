"""Whether the process is alive, and whether requests should be sent to it."""

from typing import Any

from atelier.kernel.errors import Transient
from web.routing import Call, Endpoint
from web.schemas.health import HealthAnswer, ReadyAnswer


class NotReady(Transient):
    """Something that every request needs fails; `failed` names what."""


async def alive(call: Call) -> HealthAnswer:
    """The process runs and its event loop turns. Asks nobody else."""
    return HealthAnswer(timestamp=call.now_ms)


async def ready(call: Call) -> ReadyAnswer:
    """503 with `failed` when requests should go elsewhere; `degraded` names what fails without refusing requests."""
    found = await call.services.readiness()
    if found.failed:
        raise NotReady(", ".join(found.failed), failed=list(found.failed), degraded=list(found.degraded))
    return ReadyAnswer(timestamp=call.now_ms, degraded=list(found.degraded))


_SHARED: dict[str, Any] = {"method": "GET", "tag": "health", "auth": "public", "rate": "none", "cache": "no-store"}
_ALIVE = Endpoint(path="/api/health", handler=alive, summary=("健康检查", "Health"), answer=HealthAnswer, **_SHARED)
_READY = Endpoint(
    path="/api/health/ready", handler=ready, summary=("就绪检查", "Readiness"), answer=ReadyAnswer, **_SHARED
)

ENDPOINTS = (
    _ALIVE,
    _ALIVE.at("/api/health/live"),
    _READY,
    _ALIVE.at("/health"),
    _ALIVE.at("/health/live"),
    _READY.at("/health/ready"),
)
