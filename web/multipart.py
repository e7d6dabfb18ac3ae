"""Reading a form with one file in it, however large, in pieces: the file goes to the disk as it arrives."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from aiohttp import BodyPartReader, MultipartReader, hdrs, web
from aiohttp.http_exceptions import BadHttpMessage, PayloadEncodingError

from atelier.files.spool import writing
from web import problems
from web.reading import Refused

FILE = "file"
MEDIA_TYPE = "multipart/form-data"
# What a form may have around its file: boundaries, headers, fields.
AROUND_BYTES = 64 * 1024
FIELD_BYTES_MAX = 4 * 1024
READ_BYTES = 64 * 1024
WRITE_BYTES = 1024 * 1024
SILENCE_SECONDS = 30
WHOLE_SECONDS = 30 * 60

Run = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Does blocking work in a thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A form: its fields, and its file, whose bytes are in `file` now. `sha256` is theirs."""

    fields: dict[str, str]
    file: BinaryIO
    name: str
    content_type: str
    size: int
    sha256: str


async def receive(
    request: web.Request, *, into: BinaryIO, limit: int, run: Run, fields: frozenset[str] = frozenset()
) -> Received:
    """Read the form to its end. Raises Refused: too large, broken, too slow, or not the form that was asked for."""
    if (request.content_length or 0) > limit + AROUND_BYTES:
        raise Refused(problems.fault("PAYLOAD_TOO_LARGE", limit=limit))
    form = _Form(into, limit=limit, run=run, fields=fields)
    try:
        async with asyncio.timeout(WHOLE_SECONDS):
            await form.read(await request.multipart())
    except TimeoutError as error:
        raise Refused(problems.fault("REQUEST_TIMEOUT")) from error
    except (BadHttpMessage, PayloadEncodingError, web.RequestPayloadError, ConnectionError, ValueError) as error:
        raise Refused(problems.of_field("body", "body_broken")) from error
    except (AssertionError, RuntimeError) as error:
        # The library's words for a body that ends before its last boundary, and for a field named _charset_.
        raise Refused(problems.of_field("body", "body_broken")) from error
    return form.received()


class _Form:
    def __init__(self, into: BinaryIO, *, limit: int, run: Run, fields: frozenset[str]) -> None:
        self._into = into
        self._limit = limit
        self._run = run
        self._allowed = fields
        self._fields: dict[str, str] = {}
        self._file: BodyPartReader | None = None
        self._digest = hashlib.sha256()
        self._size = 0

    async def read(self, reader: MultipartReader) -> None:
        while (part := await self._within(reader.next())) is not None:
            if not isinstance(part, BodyPartReader):
                raise Refused(problems.of_field("body", "body_broken"))
            await self._part(part)

    def received(self) -> Received:
        if self._file is None:
            raise Refused(problems.of_field(FILE, "missing"))
        if not self._size:
            raise Refused(problems.of_field(FILE, "file_empty"))
        return Received(
            fields=self._fields,
            file=self._into,
            name=self._file.filename or "",
            content_type=self._file.headers.get(hdrs.CONTENT_TYPE, ""),
            size=self._size,
            sha256=self._digest.hexdigest(),
        )

    async def _part(self, part: BodyPartReader) -> None:
        name = part.name or ""
        if name == FILE:
            if self._file is not None:
                raise Refused(problems.of_field(FILE, "duplicate"))
            self._file = part
            await self._copy(part)
        elif name not in self._allowed:
            raise Refused(problems.of_field(name[:100], "extra_forbidden"))
        elif name in self._fields:
            raise Refused(problems.of_field(name, "duplicate"))
        else:
            self._fields[name] = await self._text(part)

    async def _text(self, part: BodyPartReader) -> str:
        found = b""
        while chunk := await self._within(part.read_chunk(READ_BYTES)):
            found += chunk
            if len(found) > FIELD_BYTES_MAX:
                raise Refused(problems.fault("PAYLOAD_TOO_LARGE", limit=FIELD_BYTES_MAX))
        return found.decode()

    async def _copy(self, part: BodyPartReader) -> None:
        waiting: list[bytes] = []
        held = 0
        while chunk := await self._within(part.read_chunk(READ_BYTES)):
            self._size += len(chunk)
            if self._size > self._limit:
                raise Refused(problems.fault("PAYLOAD_TOO_LARGE", limit=self._limit))
            waiting.append(bytes(chunk))
            held += len(chunk)
            if held >= WRITE_BYTES:
                await self._write(b"".join(waiting))
                waiting, held = [], 0
        await self._write(b"".join(waiting))

    async def _write(self, data: bytes) -> None:
        def write() -> None:
            with writing():
                self._into.write(data)
                self._into.flush()
            self._digest.update(data)

        await self._run(write)

    @staticmethod
    async def _within(asked: Awaitable[Any]) -> Any:
        async with asyncio.timeout(SILENCE_SECONDS):
            return await asked
