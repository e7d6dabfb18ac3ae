"""What handlers work with: made once per process in `web.app`, handed to every call."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from atelier.kernel.database import AsyncDatabase
from atelier.kernel.settings import Settings
from atelier.onboarding.desk import Desk
from web.identity import Identities
from web.key_uses import KeyUses
from web.limits import Limits
from web.rates import Rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Which parts fail, so that no request should come here, and which only degrade."""

    failed: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything a handler may touch."""

    settings: Settings
    db: AsyncDatabase
    identities: Identities
    limits: Limits
    rates: Rates
    key_uses: KeyUses
    desk: Desk
    readiness: Callable[[], Awaitable[Readiness]]


SERVICES: web.AppKey[Services] = web.AppKey("services", Services)
