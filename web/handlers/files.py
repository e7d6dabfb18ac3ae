"""Files of users: sent through us or straight to the storage, read, deleted; and the pictures of people."""

from functools import partial
from typing import Any

from aiohttp import web

from atelier.files import models, names, queries, service
from atelier.onboarding import avatars
from web import direct_uploads, multipart, outputs, sending
from web.routing import REPLAYED, Call, Endpoint, Reply
from web.schemas.auth import DoneAnswer
from web.schemas.files import AnnounceBody, AnnouncedAnswer, AvatarAnswer, FileAnswer, FilesAnswer, UploadAnswer
from web.schemas.model import PageQuery
from web.sending import Sending
from web.uploads import UPLOADS

# Only how large an announced body may be at all: the settings say how large a file may be.
BODY_MAX = 2**30 + multipart.AROUND_BYTES
REFUSALS = ("UNSUPPORTED_MEDIA", "IMAGE_INVALID", "IMAGE_TOO_LARGE", "PAYLOAD_TOO_LARGE")
PUBLIC_CACHE = "public, max-age=3600"
PRIVATE_CACHE = "private, no-cache"


async def upload(call: Call) -> Reply:
    """Keep the field `file` of a form.

    What it is is told by its content, which must agree with its name and type. Pictures are made anew, without notes
    of camera or place. With an Idempotency-Key the same bytes under the same name and type are the same request.
    """
    uploads = call.request.app[UPLOADS]
    answer, replayed = await uploads.keep(
        call,
        kind=models.UPLOAD,
        limit=call.services.settings.upload_bytes_max,
        prepare=uploads.intake.prepare,
        add=service.add,
        quota=uploads.quota,
    )
    return Reply(FileAnswer.of(answer), headers=REPLAYED if replayed else None)


async def upload_avatar(call: Call) -> Reply:
    """Show the field `file` of a form as the user's picture: at most 512 pixels wide and high, public."""
    uploads = call.request.app[UPLOADS]
    answer, replayed = await uploads.keep(
        call,
        kind=models.AVATAR,
        limit=call.services.settings.avatar_bytes_max,
        prepare=uploads.intake.prepare_avatar,
        add=avatars.set_avatar,
        quota=None,
    )
    return Reply(AvatarAnswer.of(answer), headers=REPLAYED if replayed else None)


async def list_files(call: Call) -> FilesAnswer:
    """What the caller has uploaded, newest first."""
    query: PageQuery = call.query
    db, user_id = call.services.db, call.user.user_id
    found, total = await db.read(queries.page, owner_id=user_id, offset=query.offset, limit=query.limit)
    used = await db.read(service.usage, user_id=user_id)
    return FilesAnswer.of(found, total=total, query=query, used=used)


async def read_file(call: Call) -> web.StreamResponse:
    """The file's bytes, or the way to them: a signed link to the storage that soon ends."""
    user_id = call.identity.user_id if call.identity else None
    found = await call.services.db.read(queries.readable, file_id=call.path["fileId"], user_id=user_id)
    one = Sending(
        key=found.key,
        size=found.size,
        content_type=found.type,
        disposition=names.disposition(sending.verb(found.type), found.name),
        cache=PUBLIC_CACHE if found.public else PRIVATE_CACHE,
        link_seconds=call.services.settings.file_link_seconds,
    )
    return await sending.send(call.request, call.request.app[outputs.STORAGE], one)


async def delete_file(call: Call) -> DoneAnswer:
    """Delete one of the caller's files, for good. An avatar disappears from the profile; an agent's icon stays."""
    await call.services.db.transact(
        avatars.delete_file, file_id=call.path["fileId"], user_id=call.user.user_id, now_ms=call.now_ms
    )
    return DoneAnswer()


async def announce(call: Call) -> Reply:
    """Get a form with which a browser sends a file straight to the storage. Then report it with `complete`."""
    announced, replayed = await direct_uploads.announce(call)
    form, expires_ms = direct_uploads.form(call, announced)
    answer = AnnouncedAnswer.of(announced, form, expires_ms=expires_ms)
    location = {"Location": f"/api/files/uploads/{announced.id}"}
    return Reply(answer, headers=location | (REPLAYED if replayed else {}))


async def read_upload(call: Call) -> UploadAnswer:
    """A direct upload as it stands."""
    return UploadAnswer.of(await direct_uploads.own(call), locale=call.locale)


async def take_content(call: Call) -> None:
    """Where forms lead while files are kept in a folder; with OSS they lead there."""
    await direct_uploads.take(call)


async def complete(call: Call) -> Reply:
    """Report that everything was sent: it is looked at and counts when it is `ready`. Asking again does no harm."""
    found = await direct_uploads.complete(call)
    is_decided = found.state in (models.READY, models.REFUSED)
    return Reply(UploadAnswer.of(found, locale=call.locale), status=200 if is_decided else 202)


_files = partial(Endpoint, tag="files", cache="no-store")
_form: dict[str, Any] = {"accepts": multipart.MEDIA_TYPE, "body_max": BODY_MAX, "rate": "upload"}
_UPLOAD = "/api/files/uploads/{uploadId}"

ENDPOINTS = (
    _files(
        method="POST",
        path="/api/files/upload",
        handler=upload,
        scope="files:write",
        summary=("上传文件", "Upload a file"),
        answer=FileAnswer,
        status=201,
        errors=(*REFUSALS, "FILE_QUOTA_EXCEEDED"),
        idempotent=True,
        **_form,
    ),
    _files(
        method="GET",
        path="/api/files",
        handler=list_files,
        scope="files:read",
        summary=("我的文件", "List own files"),
        query=PageQuery,
        answer=FilesAnswer,
    ),
    _files(
        method="POST",
        path="/api/files/uploads",
        handler=announce,
        scope="files:write",
        summary=("直传：获取上传表单", "Direct upload: get a form"),
        body=AnnounceBody,
        answer=AnnouncedAnswer,
        status=201,
        errors=("UNSUPPORTED_MEDIA", "PAYLOAD_TOO_LARGE", "FILE_QUOTA_EXCEEDED"),
        gives=("Location",),
        idempotent=True,
        rate="upload",
    ),
    _files(
        method="GET",
        path=_UPLOAD,
        handler=read_upload,
        scope="files:write",
        summary=("直传：查看状态", "Direct upload: read its state"),
        answer=UploadAnswer,
    ),
    _files(
        method="POST",
        path=f"{_UPLOAD}/complete",
        handler=complete,
        scope="files:write",
        summary=("直传：上传完成", "Direct upload: report that all was sent"),
        answer=UploadAnswer,
        status=202,
        also={200: UploadAnswer},
        errors=("UPLOAD_MISSING",),
    ),
    _files(
        method="POST",
        path=f"{_UPLOAD}/content",
        handler=take_content,
        summary=("直传：发送内容（本地存储）", "Direct upload: send the content (local storage)"),
        auth="public",
        status=204,
        errors=("FORBIDDEN", "GONE", "NOT_FOUND"),
        **_form,
    ),
    _files(
        method="GET",
        path="/api/files/{fileId}",
        handler=read_file,
        scope="files:read",
        summary=("读取文件", "Read a file"),
        auth="optional",
        produces="*/*",
        also={206: None, 302: None, 304: None, 416: None},
        errors=("NOT_FOUND",),
    ),
    _files(
        method="DELETE",
        path="/api/files/{fileId}",
        handler=delete_file,
        scope="files:write",
        summary=("删除文件", "Delete a file"),
        answer=DoneAnswer,
        errors=("NOT_FOUND", "FILE_IN_USE"),
    ),
    _files(
        method="POST",
        path="/api/users/avatar",
        handler=upload_avatar,
        summary=("上传头像", "Upload an avatar"),
        tag="users",
        answer=AvatarAnswer,
        errors=REFUSALS,
        idempotent=True,
        **_form,
    ),
)
