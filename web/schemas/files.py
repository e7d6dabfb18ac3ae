"""Files: what is sent, what is kept, and uploads that go straight to the storage."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field

from atelier.files import models, names, service
from atelier.files.direct import Upload
from atelier.storage.port import Form
from web import messages
from web.messages import Locale
from web.schemas.model import Answer, Body, Line, PageQuery, Pagination, Timestamp

Status = Literal["pending", "checking", "ready", "refused"]


class FileAnswer(Answer):
    """A file that is kept. `size` and `sha256` are those of what is served, which a picture was made anew into."""

    id: str
    name: str
    size: int
    type: str
    sha256: str
    url: str = Field(description="path where its owner reads it, and everyone if it is public")
    created_at: str = Field(json_schema_extra={"format": "date-time"})

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> Self:
        """From the members that the answer has on the wire."""
        return cls.model_validate(dict(described), by_alias=True)


class FilesAnswer(Answer):
    """A page of what the user has uploaded, newest first, and what they keep in all."""

    files: list[FileAnswer]
    pagination: Pagination
    used_files: int
    used_bytes: int

    @classmethod
    def of(cls, found: list[dict[str, Any]], *, total: int, query: PageQuery, used: tuple[int, int]) -> Self:
        """From rows."""
        files = [FileAnswer.of(service.described(row)) for row in found]
        pagination = Pagination.of(query, total=total)
        return cls(files=files, pagination=pagination, used_files=used[0], used_bytes=used[1])


class AvatarAnswer(Answer):
    """The new picture of the user."""

    avatar_url: str
    file: FileAnswer

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """From the stored answer."""
        return cls(avatar_url=answer["avatarUrl"], file=FileAnswer.of(answer["file"]))


class AnnounceBody(Body):
    """A file that a browser is going to send by itself."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "clip.mp4", "size": 1_048_576, "type": "video/mp4"}]}
    )

    name: Line = Field(min_length=1, max_length=names.NAME_MAX)
    size: int = Field(ge=1, le=2**40, description="exactly so many bytes will be sent")
    type: Line = Field(min_length=1, max_length=100, description="media type")


class AnnouncedAnswer(Answer):
    """How to send it: POST `fields` and then the file as the field `file` to `url`, as multipart/form-data."""

    id: str
    status: Status
    url: str
    method: Literal["POST"] = "POST"
    fields: dict[str, str]
    expires_at: Timestamp

    @classmethod
    def of(cls, upload: Upload, form: Form, *, expires_ms: int) -> Self:
        """From the upload and its form."""
        fields = dict(form.fields)
        return cls(id=upload.id, status=_status(upload), url=form.url, fields=fields, expires_at=expires_ms)


class UploadAnswer(Answer):
    """A direct upload as it stands: `file` when it is ready, `errorCode` and its sentence when it was refused."""

    id: str
    status: Status
    file: FileAnswer | None
    error_code: str | None
    error_message: str | None

    @classmethod
    def of(cls, upload: Upload, *, locale: Locale) -> Self:
        """From the upload."""
        ready = upload.state == models.READY
        return cls(
            id=upload.id,
            status=_status(upload),
            file=FileAnswer.of(service.described(vars_of(upload))) if ready else None,
            error_code=upload.refusal,
            error_message=messages.sentence(upload.refusal, locale) if upload.refusal else None,
        )


def vars_of(upload: Upload) -> dict[str, Any]:
    """The columns that describe a file."""
    return {name: getattr(upload, name) for name in ("id", "name", "type", "size", "sha256", "created_ms")}


def _status(upload: Upload) -> Status:
    known: dict[str, Status] = {
        models.PENDING: "pending",
        models.CHECKING: "checking",
        models.READY: "ready",
        models.REFUSED: "refused",
    }
    return known[upload.state]
