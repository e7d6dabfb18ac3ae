"""Server-sent events out of raw bytes.

Lines are split on bytes, never with `str.splitlines`: a JSON text may hold U+2028 or U+0085, which would cut it in two.
"""

from collections.abc import AsyncIterator

from atelier.providers.errors import BadAnswer


async def read_events(chunks: AsyncIterator[bytes], *, longest: int = 1_000_000) -> AsyncIterator[str]:
    """Yield the data of each event. A line above `longest` bytes raises BadAnswer instead of filling the memory."""
    data: list[bytes] = []
    async for line in _lines(chunks, longest):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            yield b"\n".join(data).decode(errors="replace")
            data = []
    if data:
        yield b"\n".join(data).decode(errors="replace")


async def _lines(chunks: AsyncIterator[bytes], longest: int) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r")
        if len(rest) > longest:
            raise BadAnswer("a line of the provider's stream is too long")
    if rest:
        yield rest.removesuffix(b"\r")
