"""Uploads that don't go through a request of ours: how a browser is let in, and what it needs of us without OSS.

With local storage the browser is given the same kind of form, only to a path of ours; its signature is the permission.
"""

from aiohttp import web

from atelier.files import direct, media, models, names
from atelier.files.direct import Announcement, Upload
from atelier.files.errors import FileNotFound, FileTooLarge, UnsupportedMedia, UploadMissing
from atelier.kernel import ids, tokens
from atelier.kernel.clock import SECOND_MS
from atelier.kernel.errors import Forbidden
from atelier.storage.port import FileMissing, Form, Storage
from web import outputs, problems
from web.reading import Refused
from web.routing import Call
from web.schemas.files import AnnounceBody
from web.uploads import UPLOADS

PURPOSE = "files.upload"
FIELDS = frozenset({"expires", "signature"})


async def announce(call: Call) -> tuple[Upload, bool]:
    """Expect what the body tells of; and whether that was told before. Raises what is refused about files."""
    body: AnnounceBody = call.body
    settings = call.services.settings
    if body.size > settings.direct_upload_bytes_max:
        raise FileTooLarge(limit=settings.direct_upload_bytes_max)
    name = names.shown(body.name)
    kind = media.claim(name=name, content_type=body.type).type
    if kind is None:
        raise UnsupportedMedia(reason="type")
    new = Announcement(
        id=ids.new_id(),
        owner_id=call.user.user_id,
        name=names.completed(name, kind),
        type=kind,
        size=body.size,
        key=names.new_key(names.INCOMING, content_type=kind),
    )
    return await call.services.db.transact(
        direct.announce,
        new,
        quota=call.request.app[UPLOADS].quota,
        form_ms=settings.upload_form_seconds * SECOND_MS,
        keyed=call.keyed,
        now_ms=call.now_ms,
    )


def form(call: Call, upload: Upload) -> tuple[Form, int]:
    """Where and how to send it, and until when."""
    settings = call.services.settings
    expires_ms = upload.created_ms + settings.upload_form_seconds * SECOND_MS
    made = _storage(call).form(
        upload.key,
        content_type=upload.type,
        size=upload.size,
        now_ms=call.now_ms,
        expires_ms=expires_ms,
    )
    if made is None:
        fields = {"expires": str(expires_ms), "signature": _signature(call, upload.id, expires_ms)}
        path = f"/api/files/uploads/{upload.id}/content"
        made = Form(url=f"{settings.public_url.rstrip('/')}{path}", fields=fields)
    return made, expires_ms


async def take(call: Call) -> None:
    """Keep what a form of ours sends. Raises Refused, Forbidden, FileNotFound."""
    upload = await _pending(call)
    uploads, storage = call.request.app[UPLOADS], _storage(call)
    async with uploads.receiving(call, limit=upload.size, fields=FIELDS) as received:
        expires = received.fields.get("expires", "")
        if not expires.isdigit() or not tokens.matches(
            call.services.settings.keyring, PURPOSE, f"{upload.id}/{expires}", received.fields.get("signature", "")
        ):
            raise Forbidden
        if call.now_ms >= int(expires):
            raise Refused(problems.fault("GONE"))
        if received.size != upload.size:
            raise Refused(problems.of_field("file", "file_incomplete"))
        await uploads.in_thread(lambda: storage.put_file(upload.key, received.file, content_type=upload.type))


async def complete(call: Call) -> Upload:
    """Have what was sent looked at, once. Raises FileNotFound, and UploadMissing unless all of it has arrived."""
    upload = await own(call)
    if upload.state == models.PENDING:
        storage, uploads = _storage(call), call.request.app[UPLOADS]
        try:
            size = await uploads.in_thread(lambda: storage.size(upload.key))
        except FileMissing:
            size = 0
        if size != upload.size:
            raise UploadMissing(arrived_bytes=size, expected_bytes=upload.size)
        await call.services.db.transact(direct.arrived, file_id=upload.id, now_ms=call.now_ms)
        upload = await own(call)
    return upload


async def own(call: Call) -> Upload:
    """The caller's upload of the path. Raises FileNotFound."""
    return await call.services.db.read(direct.find, file_id=call.path["uploadId"], owner_id=call.user.user_id)


async def _pending(call: Call) -> Upload:
    upload = await call.services.db.read(direct.find, file_id=call.path["uploadId"])
    if upload.state != models.PENDING or _is_elsewhere(call, upload):
        raise FileNotFound
    return upload


def _is_elsewhere(call: Call, upload: Upload) -> bool:
    """Whether the storage takes such files by itself."""
    made = _storage(call).form(
        upload.key, content_type=upload.type, size=upload.size, now_ms=call.now_ms, expires_ms=call.now_ms
    )
    return made is not None


def _signature(call: Call, upload_id: str, expires_ms: int) -> str:
    return tokens.derived(call.services.settings.keyring.current, PURPOSE, f"{upload_id}/{expires_ms}")


def _storage(call: Call) -> Storage:
    application: web.Application = call.request.app
    return application[outputs.STORAGE]
