"""Nameless files on the disk: what is on its way needs no memory, and nothing of it is left by a killed process."""

import contextlib
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO, cast

from atelier.storage.port import StorageUnavailable


class Spool:
    """Makes files in a folder that is made when it is needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def file(self) -> BinaryIO:
        """An empty file, gone when it is closed. Raises StorageUnavailable."""
        with writing():
            self._folder.mkdir(parents=True, exist_ok=True)
            return cast("BinaryIO", tempfile.TemporaryFile(dir=self._folder))


@contextlib.contextmanager
def writing() -> Generator[None]:
    """A disk that is full or gone is the world's failure: StorageUnavailable."""
    try:
        yield
    except OSError as error:
        raise StorageUnavailable(error.strerror or type(error).__name__) from error
