"""From bytes that someone sent to a file that may be kept: what it is, whether it is allowed, pictures made anew."""

import hashlib
from dataclasses import dataclass
from typing import BinaryIO, Self

from atelier.files import media, names, pictures, sniffing
from atelier.files.errors import FileTooLarge, UnsupportedMedia
from atelier.files.pictures import PictureLimits
from atelier.files.spool import Spool, writing
from atelier.kernel.settings import Settings
from atelier.storage.port import Storage

CHUNK_BYTES = 1024 * 1024
AVATAR_SIDE_MAX = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What someone sent: the bytes, what they call it, and what they say that it is."""

    file: BinaryIO
    name: str
    content_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What may be kept. Close `file` when it is."""

    file: BinaryIO
    name: str
    type: str
    size: int
    sha256: str

    def keep(self, storage: Storage) -> str:
        """Put it into the storage; its key. Raises StorageUnavailable."""
        key = names.new_key(names.FILES, content_type=self.type)
        storage.put_file(key, self.file, content_type=self.type)
        return key


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Looks at files, for all threads of a process."""

    spool: Spool
    limits: PictureLimits

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """With the limits of the settings."""
        limits = PictureLimits(pixels_max=settings.image_pixels_max, frames_max=settings.image_frames_max)
        return cls(spool=Spool(settings.data_dir / "spool"), limits=limits)

    def prepare(self, sent: Sent) -> Prepared:
        """What may be kept of it: any of the known kinds. A picture comes out made anew, all else as it is.

        Raises UnsupportedMedia, ImageInvalid, ImageTooLarge, StorageUnavailable.
        """
        found = self._agreed(sent)
        if found not in media.IMAGES:
            return _prepared(sent.file, name=sent.name, content_type=found)
        renewed = self.spool.file()
        try:
            pictures.renew(sent.file, renewed, content_type=found, limits=self.limits)
            return _prepared(renewed, name=sent.name, content_type=found)
        except BaseException:
            renewed.close()
            raise

    def prepare_avatar(self, sent: Sent, *, side_max: int = AVATAR_SIDE_MAX) -> Prepared:
        """A small WebP of a picture's first frame. Raises as `prepare`, and UnsupportedMedia for what is no picture."""
        found = self._agreed(sent)
        if found not in media.IMAGES:
            raise UnsupportedMedia(reason="type")
        small = self.spool.file()
        try:
            pictures.shrink(sent.file, small, content_type=found, side_max=side_max, limits=self.limits)
            return _prepared(small, name="avatar.webp", content_type="image/webp")
        except BaseException:
            small.close()
            raise

    def fetch(self, storage: Storage, key: str, *, size_max: int) -> BinaryIO:
        """A copy of what is kept under this key. Raises FileTooLarge, FileMissing, StorageUnavailable."""
        copy = self.spool.file()
        try:
            with storage.open(key) as source, writing():
                _copy(source, copy, size_max=size_max)
        except BaseException:
            copy.close()
            raise
        return copy

    def _agreed(self, sent: Sent) -> str:
        claimed = media.claim(name=names.shown(sent.name), content_type=sent.content_type)
        return media.agreed(sniffing.types(sent.file), claimed)


def _copy(source: BinaryIO, target: BinaryIO, *, size_max: int) -> None:
    while chunk := source.read(CHUNK_BYTES):
        target.write(chunk)
        if target.tell() > size_max:
            raise FileTooLarge(limit=size_max)


def _prepared(file: BinaryIO, *, name: str, content_type: str) -> Prepared:
    digest, size = hashlib.sha256(), 0
    file.seek(0)
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
    shown = names.completed(names.shown(name), content_type)
    return Prepared(file=file, name=shown, type=content_type, size=size, sha256=digest.hexdigest())
