"""What is refused about files."""

from typing import ClassVar

from atelier.kernel.errors import Conflict, NotFound, Refusal


class FileNotFound(NotFound):
    """There is no such file, or it is someone else's."""


class UnsupportedMedia(Refusal):
    """It isn't of a kind that is kept here, or not of the kind that it claims to be. `reason` says which."""

    code: ClassVar[str] = "UNSUPPORTED_MEDIA"


class FileTooLarge(Refusal):
    """It has more than `limit` bytes."""

    code: ClassVar[str] = "PAYLOAD_TOO_LARGE"


class ImageInvalid(Refusal):
    """It says that it is a picture, and can't be read as one."""

    code: ClassVar[str] = "IMAGE_INVALID"


class ImageTooLarge(Refusal):
    """It would need more memory than a picture is worth: `pixels` of all frames, or `frames`, with their limits."""

    code: ClassVar[str] = "IMAGE_TOO_LARGE"


class FileQuotaExceeded(Refusal):
    """The user keeps as much as they may: `used_files`, `used_bytes` and both limits."""

    code: ClassVar[str] = "FILE_QUOTA_EXCEEDED"


class FileInUse(Conflict):
    """Something else shows this file: it goes when that does."""

    code: ClassVar[str] = "FILE_IN_USE"


class UploadMissing(Conflict):
    """What was announced has not arrived, or not whole."""

    code: ClassVar[str] = "UPLOAD_MISSING"


class UploadFailed(Refusal):
    """What arrived could not be looked at for a long time, and was given up."""

    code: ClassVar[str] = "UPLOAD_FAILED"
