"""Links in a provider's answer, fetched by us: so they must not reach what only this machine's network can reach.

A name is looked up once, and the connection goes to an address of that very answer. Whoever answers for the name can't
show us a public address and then have us connect to another one.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import httpx

from atelier.kernel.internet import is_public
from atelier.providers.errors import BadAnswer, Interrupted
from atelier.providers.openai.client import read_capped

LookUp = Callable[[str], Awaitable[Sequence[str]]]

_LONGEST_DOWNLOAD_SECONDS: Final = 60.0
_PORT: Final = 443
_AWAY: Final = frozenset({408, 425, 429})
_NOT_ALLOWED: Final = "the provider's file is on a host that is not allowed"


async def look_up(name: str) -> list[str]:
    """Return the addresses of a name as this machine sees it, the best first. Raises OSError when there are none."""
    found = await asyncio.get_running_loop().getaddrinfo(name, _PORT, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


async def fetch(
    link: str,
    *,
    home: str,
    http: httpx.AsyncClient,
    direct: httpx.AsyncClient,
    longest: int,
    seconds: float = _LONGEST_DOWNLOAD_SECONDS,
    find: LookUp = look_up,
) -> bytes:
    """Return what a link leads to: from the origin of `home` by `http`, or by https from the public internet.

    direct   the client for everywhere else; it must use no proxy, for a proxy would look the name up again
    longest  in bytes, `seconds` for everything together

    Raises BadAnswer for a link that is not allowed, not there, redirected or too large; Interrupted when its host is
    away, or the download failed or took too long.
    """
    try:
        async with asyncio.timeout(seconds):
            url = httpx.URL(link)
            if not url.userinfo and _origin(url) == _origin(httpx.URL(home)):
                return await _get(url, http=http, longest=longest)
            return await _from_outside(url, direct=direct, longest=longest, find=find)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise BadAnswer("the provider's link is none") from error
    except (httpx.HTTPError, httpx.StreamError, OSError) as error:
        # Nobody may take this for a failed call and repeat it: a second POST would generate, and cost, a second time.
        raise Interrupted("the provider's file could not be fetched") from error


async def _from_outside(url: httpx.URL, *, direct: httpx.AsyncClient, longest: int, find: LookUp) -> bytes:
    if url.scheme != "https" or url.port is not None or not url.host or url.userinfo:
        raise BadAnswer(_NOT_ALLOWED)
    addresses = list(dict.fromkeys(await find(url.raw_host.decode())))
    if not addresses or not all(is_public(address) for address in addresses):
        raise BadAnswer(_NOT_ALLOWED)
    *others, last = addresses
    for address in others:
        try:
            return await _get(url, http=direct, longest=longest, address=address)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            # This machine may have no route to one of two families of addresses: the next one is as good.
            continue
    return await _get(url, http=direct, longest=longest, address=last)


async def _get(url: httpx.URL, *, http: httpx.AsyncClient, longest: int, address: str = "") -> bytes:
    """Connect to `address` if there is one, but ask for, and verify the certificate of, the name in the link."""
    target = url.copy_with(host=address) if address else url
    # Packed, a small body could become a large one before anyone has counted its bytes.
    headers = {"Host": url.netloc.decode(), "Accept-Encoding": "identity"}
    name = {"sni_hostname": url.raw_host.decode()}
    async with http.stream("GET", target, headers=headers, extensions=name, follow_redirects=False) as response:
        if response.is_redirect:
            raise BadAnswer("the provider's file is redirected, which is not followed")
        if response.is_server_error or response.status_code in _AWAY:
            raise Interrupted("the provider's file could not be fetched")
        if not response.is_success:
            raise BadAnswer("the provider's file is not there")
        return await read_capped(response, longest=longest)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
