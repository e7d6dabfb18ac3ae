"""The border: which origins may read answers, whose word about addresses is believed, and the standing headers."""

import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from multidict import CIMultiDict, istr

from atelier.kernel.settings import Settings

UNKNOWN_ADDRESS = "unknown"
EXPOSED = "ETag, Idempotency-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-ID"
ALLOWED = (
    "Accept, Accept-Language, Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, "
    "Prefer, X-Request-ID, X-User-Id"
)
PREFLIGHT_SECONDS = "600"
# JSON is never a page: a browser that is tricked into showing an answer may load, run and frame nothing.
CONTENT_SECURITY_POLICY = "default-src 'none'; frame-ancestors 'none'"


class Border:
    """All of it, for one application."""

    def __init__(self, settings: Settings) -> None:
        self.origins = Origins(settings.frontend_urls)
        self.proxies = Proxies(settings.trusted_proxies)
        self.standing = _standing_headers(settings)


def _standing_headers(settings: Settings) -> Mapping[istr, str]:
    """What every answer carries unless the handler says otherwise."""
    headers = {
        "Server": "atelier",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    }
    if settings.frontend_urls:
        headers["Vary"] = "Origin"
    if settings.environment == "production":
        headers["Strict-Transport-Security"] = "max-age=31536000"
    return {istr(name): value for name, value in headers.items()}


class Origins:
    """Cross-origin reading, for the front ends' exact origins only. No cookie is ever read, so none is allowed."""

    def __init__(self, frontend_urls: Iterable[str]) -> None:
        self._allowed = frozenset(origin for url in frontend_urls if (origin := _origin(url)))

    def allows(self, origin: str) -> bool:
        """Whether this is one of the front ends."""
        return origin in self._allowed or "*" in self._allowed

    def dress(self, origin: str, headers: CIMultiDict[str]) -> None:
        """Let the front end at `origin` read the answer."""
        if self.allows(origin):
            headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED

    def preflight(self, request: web.Request, methods: Iterable[str]) -> web.Response:
        """The answer to OPTIONS on a path that has these methods."""
        allow = ", ".join(sorted({*methods, hdrs.METH_OPTIONS}))
        headers: CIMultiDict[str] = CIMultiDict({hdrs.ALLOW: allow})
        if self.allows(request.headers.get(hdrs.ORIGIN, "")):
            headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = allow
            headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = ALLOWED
            headers[hdrs.ACCESS_CONTROL_MAX_AGE] = PREFLIGHT_SECONDS
        return web.Response(status=204, headers=headers)


class Proxies:
    """The client's address. X-Forwarded-For is believed only as far as trusted proxies wrote it."""

    def __init__(self, trusted: Iterable[str]) -> None:
        networks = [ipaddress.ip_network(one, strict=False) for one in trusted]

        @lru_cache(maxsize=4_096)
        def is_trusted(address: str) -> bool:
            try:
                parsed = ipaddress.ip_address(address)
            except ValueError:
                return False
            return any(parsed in network for network in networks)

        self._is_trusted = is_trusted
        self._any = bool(networks)

    def address(self, request: web.Request) -> str:
        """The nearest address that is not one of our proxies."""
        address = request.remote or UNKNOWN_ADDRESS
        if not self._any or not self._is_trusted(address):
            return address
        for hop in reversed(",".join(request.headers.getall(hdrs.X_FORWARDED_FOR, [])).split(",")):
            try:
                address = str(ipaddress.ip_address(hop.strip()))
            except ValueError:  # Whoever wrote this is not believed about anything further left.
                return address
            if not self._is_trusted(address):
                return address
        return address


@lru_cache(maxsize=4_096)
def counted_as(address: str) -> str:
    """The key under which an address is limited: an IPv6 network of 64 bits has one owner."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return "*" if url == "*" else f"{parts.scheme}://{parts.netloc}".lower() if parts.netloc else ""
