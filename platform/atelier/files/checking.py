"""A worker's look at what a browser has sent to the storage by itself."""

from typing import Literal

from atelier.files import direct
from atelier.files.direct import Claimed, Upload, Verdict
from atelier.files.errors import UploadMissing
from atelier.files.intake import Intake, Sent
from atelier.kernel import faults, logs
from atelier.kernel.database import Database
from atelier.kernel.errors import Refusal
from atelier.storage.port import FileMissing, Storage

Outcome = Literal["kept", "refused", "not ours"]
log = logs.get(__name__)


def check(database: Database, *, storage: Storage, intake: Intake, file_id: str) -> tuple[Outcome, str]:
    """Look at one upload, and keep it under a new key or refuse it; the outcome and the reason of a refusal.

    The bytes that were looked at are the ones that are kept, whatever is sent to the first place meanwhile. A message
    that comes twice finds nothing to claim. Raises Transient: the upload is due again later.
    """
    claimed = database.transact(direct.claim, file_id=file_id)
    if claimed is None:
        return "not ours", ""
    faults.point("files.after_claim")
    verdict = _verdict(claimed.upload, storage=storage, intake=intake)
    faults.point("files.after_keep")
    if not database.transact(direct.settle, claimed, verdict):
        if verdict.key:
            storage.delete(verdict.key)
        return "not ours", ""
    _clear(storage, claimed)
    log.info("files.checked", file_id=file_id, refusal=verdict.refusal, size=verdict.size)
    return ("refused", verdict.refusal) if verdict.refusal else ("kept", "")


def _verdict(upload: Upload, *, storage: Storage, intake: Intake) -> Verdict:
    try:
        with intake.fetch(storage, upload.key, size_max=upload.size) as copy:
            if copy.tell() != upload.size:
                raise UploadMissing
            prepared = intake.prepare(Sent(file=copy, name=upload.name, content_type=upload.type))
            with prepared.file:
                key = prepared.keep(storage)
    except FileMissing:
        return Verdict(refusal=UploadMissing.code)
    except Refusal as error:
        return Verdict(refusal=error.code)
    return Verdict(name=prepared.name, type=prepared.type, size=prepared.size, sha256=prepared.sha256, key=key)


def _clear(storage: Storage, claimed: Claimed) -> None:
    try:
        storage.delete(claimed.upload.key)
    except Exception as error:  # noqa: BLE001 - the upload is decided; the collector finds what is left
        log.warning("files.not_cleared", file_id=claimed.upload.id, error=type(error).__name__)
