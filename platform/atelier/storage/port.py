"""Where files are kept. Keys are made by us, never by users: `outputs/<job>/<fence>/<n>.<ext>`, for example."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar, Protocol

from atelier.kernel.errors import NotFound, Transient

BINARY = "application/octet-stream"


class StorageUnavailable(Transient):
    """The store could not take or give the file now."""

    code: ClassVar[str] = "STORAGE_UNAVAILABLE"


class FileMissing(NotFound):
    """There is no file under this key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A permission to send one file: POST `fields`, and then the file as the field `file`, to `url` (multipart)."""

    url: str
    fields: Mapping[str, str]


class Storage(Protocol):
    """A keyed store of immutable files. Every method may raise StorageUnavailable."""

    def put(self, key: str, data: bytes, *, content_type: str = BINARY) -> None:
        """Keep `data`; when this returns, the whole file is there."""
        ...

    def put_file(self, key: str, file: BinaryIO, *, content_type: str = BINARY) -> None:
        """Keep everything that `file` holds, from its beginning, without taking it into memory."""
        ...

    def open(self, key: str) -> BinaryIO:
        """Read a file. Raises FileMissing; reading may raise StorageUnavailable."""
        ...

    def path(self, key: str) -> Path | None:
        """The file's place on this machine, None when it is kept elsewhere. Raises FileMissing."""
        ...

    def size(self, key: str) -> int:
        """How many bytes it has. Raises FileMissing."""
        ...

    def delete(self, key: str) -> None:
        """Forget a file; one that isn't there is forgotten already."""
        ...

    def keys(self, folder: str, *, after: str = "", limit: int) -> list[str]:
        """The next keys below `folder` that come after `after`, in their order, at most `limit`."""
        ...

    def link(self, key: str, *, seconds: int, content_type: str, disposition: str) -> str | None:
        """An address where anyone may read the file for so long; None when this store has none, so that we send it."""
        ...

    def form(self, key: str, *, content_type: str, size: int, now_ms: int, expires_ms: int) -> Form | None:
        """A permission to send exactly so many bytes of this type to this key; None when the web tier takes them."""
        ...

    def check(self) -> None:
        """Raise StorageUnavailable unless files can be written now."""
        ...
