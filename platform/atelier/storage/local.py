"""Files in a folder of this machine, or of a volume that all roles share."""

import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from atelier.storage.port import BINARY, FileMissing, Form, StorageUnavailable

KEY = re.compile(r"[a-z0-9-]+(/[a-z0-9-]+)*(\.[a-z0-9]{1,8})?")
# No key begins like this, so what a killed process leaves behind is never taken for a file.
UNFINISHED = ".unfinished-"


class LocalStorage:
    """Writes beside the target and renames, so that a reader sees the whole file or none."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str, data: bytes, *, content_type: str = BINARY) -> None:
        """Keep `data` under `key`."""
        self.put_file(key, io.BytesIO(data), content_type=content_type)

    def put_file(self, key: str, file: BinaryIO, *, content_type: str = BINARY) -> None:  # noqa: ARG002
        """Keep what the file holds under `key`; its type is told by who asks for it."""
        target = self._place(key)
        file.seek(0)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=target.parent, prefix=UNFINISHED, delete=False) as written:
                try:
                    shutil.copyfileobj(file, written, 1024 * 1024)
                    written.flush()
                    Path(written.name).replace(target)
                except BaseException:
                    Path(written.name).unlink(missing_ok=True)
                    raise
        except OSError as error:
            raise StorageUnavailable(error.strerror or "") from error

    def open(self, key: str) -> BinaryIO:
        """Read a file."""
        return self.path(key).open("rb")

    def path(self, key: str) -> Path:
        """The file's place."""
        place = self._place(key)
        if not place.is_file():
            raise FileMissing(key)
        return place

    def size(self, key: str) -> int:
        """How many bytes it has."""
        return self.path(key).stat().st_size

    def delete(self, key: str) -> None:
        """Remove the file."""
        try:
            self._place(key).unlink(missing_ok=True)
        except OSError as error:
            raise StorageUnavailable(error.strerror or "") from error

    def keys(self, folder: str, *, after: str = "", limit: int) -> list[str]:
        """The next keys, in the order of their names."""
        try:
            return list(islice(_below(self._place(folder), folder, after), limit))
        except OSError as error:
            raise StorageUnavailable(error.strerror or "") from error

    def link(self, key: str, *, seconds: int, content_type: str, disposition: str) -> str | None:  # noqa: ARG002
        """None: a folder has no address."""
        return None

    def form(self, key: str, *, content_type: str, size: int, now_ms: int, expires_ms: int) -> Form | None:  # noqa: ARG002
        """None: a folder has no address."""
        return None

    def check(self) -> None:
        """Write and remove a small file."""
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._root, prefix=UNFINISHED)
            os.close(descriptor)
            Path(name).unlink()
        except OSError as error:
            raise StorageUnavailable(error.strerror or "") from error

    def _place(self, key: str) -> Path:
        if not KEY.fullmatch(key):
            raise FileMissing(key)
        return self._root / key


def _below(folder: Path, stem: str, after: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as found:
            entries = sorted((entry.name, entry.is_dir()) for entry in found)
    except FileNotFoundError:
        return
    for name, is_folder in entries:
        key = f"{stem}/{name}"
        if is_folder:
            # A folder whose every key comes before `after` need not be read.
            if after.startswith(f"{key}/") or key > after:
                yield from _below(folder / name, key, after)
        elif key > after and KEY.fullmatch(key):
            yield key
