"""Sending what is in the storage: from the disk with ranges, or by sending the reader to the storage itself."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from typing_extensions import override

from atelier.storage.port import Storage

CHUNK_BYTES = 256 * 1024
# A browser shows these by itself; anything else, active content above all, it is told to save.
SHOWN = ("image/png", "image/jpeg", "image/webp", "image/gif", "audio/", "video/", "text/plain")
POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"
LINK_SHARE = 2
_ONE_RANGE = re.compile(r"bytes=[0-9]*-[0-9]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """A kept file, and how a reader is to take it. `link_seconds` is the life of a signed link to the storage."""

    key: str
    size: int
    content_type: str
    disposition: str
    cache: str
    link_seconds: int

    @property
    def headers(self) -> dict[str, str]:
        """What every answer with these bytes carries."""
        return headers(self.content_type, disposition=self.disposition, cache=self.cache)


class _FromDisk(web.FileResponse):
    """A file, or one range of its bytes. Any other kind of range is ignored, as RFC 9110 (14.2) wants, not refused."""

    @override
    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        if not _ONE_RANGE.fullmatch(request.headers.get(hdrs.RANGE, "bytes=-")):
            kept = request.headers.copy()
            del kept[hdrs.RANGE]
            request = request.clone(headers=kept)
        return await super().prepare(request)


def headers(content_type: str, *, disposition: str, cache: str) -> dict[str, str]:
    """The headers of content that someone else has made."""
    return {
        hdrs.CONTENT_TYPE: named(content_type),
        hdrs.CONTENT_DISPOSITION: disposition,
        hdrs.CACHE_CONTROL: cache,
        "Content-Security-Policy": POLICY,
        "Cross-Origin-Resource-Policy": "cross-origin",
    }


def named(content_type: str) -> str:
    """The type as a header says it: our texts are UTF-8."""
    is_text = content_type.startswith("text/") and "charset" not in content_type
    return f"{content_type}; charset=utf-8" if is_text else content_type


def verb(content_type: str) -> str:
    """Whether a browser shows such content or saves it."""
    return "inline" if content_type.startswith(SHOWN) else "attachment"


async def send(request: web.Request, storage: Storage, one: Sending) -> web.StreamResponse:
    """The file's bytes, or the way to them. Raises FileMissing or StorageUnavailable."""
    path = await asyncio.to_thread(storage.path, one.key)
    if path is not None:
        return _FromDisk(path, chunk_size=CHUNK_BYTES, headers=one.headers)
    link = await asyncio.to_thread(
        storage.link,
        one.key,
        seconds=one.link_seconds,
        content_type=named(one.content_type),
        disposition=one.disposition,
    )
    if link is not None:
        return _elsewhere(link, one)
    file = await asyncio.to_thread(storage.open, one.key)
    try:
        return await _streamed(request, file, one.headers | {hdrs.CONTENT_LENGTH: str(one.size)})
    finally:
        await asyncio.to_thread(file.close)


def _elsewhere(link: str, one: Sending) -> web.Response:
    # Whoever remembers the way must not come when it is closed.
    scope = "public" if one.cache.startswith("public") else "private"
    cache = f"{scope}, max-age={one.link_seconds // LINK_SHARE}"
    return web.Response(status=302, headers={hdrs.LOCATION: link, hdrs.CACHE_CONTROL: cache})


async def _streamed(request: web.Request, file: BinaryIO, head: Mapping[str, str]) -> web.StreamResponse:
    response = web.StreamResponse(headers=head)
    await response.prepare(request)
    while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
        await response.write(chunk)
    await response.write_eof()
    return response
