"""Tables of any length as CSV: written page by page as they are read; nothing is cut off, and memory stays flat."""

import csv
import io
from collections.abc import AsyncIterable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from aiohttp import hdrs, web

from web import sending
from web.routing import Call

MEDIA_TYPE = "text/csv"
BYTE_ORDER_MARK = "\ufeff"
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def is_wanted(call: Call) -> bool:
    """Whether the caller wants a table."""
    return call.request.headers.get(hdrs.ACCEPT, "").startswith(MEDIA_TYPE)


async def send(
    call: Call, pages: AsyncIterable[Iterable[Sequence[Any]]], *, name: str, columns: Sequence[str]
) -> web.StreamResponse:
    """Send the pages as they come, as a file of this name.

    The first page is read before the answer begins: what is refused by it is still answered as usual. A table that
    breaks off later is never ended properly, so that nobody takes a part of it for the whole.
    """
    remaining = aiter(pages)
    first = await anext(remaining, ())
    disposition = f'attachment; filename="{name}"'
    response = web.StreamResponse(
        headers=sending.headers(MEDIA_TYPE, disposition=disposition, cache=call.frame.endpoint.cache)
    )
    await response.prepare(call.request)
    if call.request.method == hdrs.METH_HEAD:
        return response
    # Where the reader is gone, there is nobody to tell.
    with suppress(ConnectionError):
        await response.write((BYTE_ORDER_MARK + _lines([columns]) + _lines(first)).encode())
        async for page in remaining:
            await response.write(_lines(page).encode())
        await response.write_eof()
    return response


def cell(value: Any) -> Any:
    """A spreadsheet runs a text that begins with one of these as a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _lines(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([cell(value) for value in row] for row in rows)
    return text.getvalue()
