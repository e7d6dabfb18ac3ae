"""The document and the page that shows it: Swagger UI, vendored, under a policy that lets it call only this server."""

import asyncio
import gzip
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Any, Self

from aiohttp import web
from pydantic_core import to_json

from atelier.kernel.errors import NotFound
from web.routing import Call, Endpoint, Reply

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FILES = {
    "index.html": "text/html; charset=utf-8",
    "start.js": "text/javascript; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon-32x32.png": "image/png",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A body that never changes while the process lives, compressed once."""

    raw: bytes
    packed: bytes
    content_type: str
    etag: str

    @classmethod
    def of(cls, raw: bytes, *, content_type: str, packed: bytes | None = None) -> Self:
        """Compress, unless that was done before, and fingerprint."""
        etag = f'"{sha256(raw).hexdigest()[:32]}"'
        return cls(raw=raw, packed=packed or gzip.compress(raw, mtime=0), content_type=content_type, etag=etag)

    @classmethod
    def vendored(cls, name: str) -> Self:
        """A file of the vendored page; the large ones are kept compressed."""
        folder = files("web") / "static" / "swagger"
        kept = folder / f"{name}.gz"
        if not kept.is_file():
            return cls.of((folder / name).read_bytes(), content_type=FILES[name])
        packed = kept.read_bytes()
        return cls.of(gzip.decompress(packed), content_type=FILES[name], packed=packed)

    def answer(self, call: Call, **headers: str) -> Reply:
        """The body, compressed if the client takes that, or 304."""
        headers = {"ETag": self.etag, "Vary": "Accept-Encoding, Origin", **headers}
        if call.unchanged(self.etag):
            return Reply(status=304, headers=headers)
        if "gzip" in call.request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Reply(raw=self.packed, content_type=self.content_type, headers=headers)
        return Reply(raw=self.raw, content_type=self.content_type, headers=headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The document and the files of its page."""

    document: Served
    files: dict[str, Served]


class Pages:
    """Makes everything that is served here when it is asked for first, beside the event loop: that takes a third of a
    second, which few processes ever need.
    """

    def __init__(self, document: Callable[[], dict[str, Any]]) -> None:
        self._document = document
        self._making: asyncio.Task[Made] | None = None

    async def made(self) -> Made:
        """What is served; who comes while it is made waits for the same."""
        if self._making is None:
            self._making = asyncio.create_task(asyncio.to_thread(self._make))
        return await asyncio.shield(self._making)

    def _make(self) -> Made:
        return Made(
            document=Served.of(to_json(self._document()), content_type="application/json"),
            files={name: Served.vendored(name) for name in FILES},
        )


PAGES: web.AppKey[Pages] = web.AppKey("pages", Pages)


async def read_document(call: Call) -> Reply:
    """This document."""
    return (await call.request.app[PAGES].made()).document.answer(call)


async def read_page(call: Call) -> Reply:
    """The page that shows the document."""
    return (
        (await call.request.app[PAGES].made()).files["index.html"].answer(call, **{"Content-Security-Policy": POLICY})
    )


async def read_file(call: Call) -> Reply:
    """One file of that page."""
    served = (await call.request.app[PAGES].made()).files.get(call.path["file"])
    if served is None:
        raise NotFound
    return served.answer(call, **{"Content-Security-Policy": POLICY})


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/openapi.json",
        handler=read_document,
        summary=("接口文档", "OpenAPI document"),
        tag="docs",
        auth="public",
        answer=dict[str, Any],
        also={304: None},
    ),
    Endpoint(
        method="GET",
        path="/docs",
        handler=read_page,
        summary=("文档页面", "Documentation page"),
        tag="docs",
        auth="public",
        produces="text/html",
        also={304: None},
    ),
    Endpoint(
        method="GET",
        path="/docs/{file}",
        handler=read_file,
        summary=("文档页面的文件", "Files of the documentation page"),
        tag="docs",
        auth="public",
        produces="*/*",
        errors=("NOT_FOUND",),
        also={304: None},
    ),
)
