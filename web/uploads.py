"""Taking files in: streamed to the disk, looked at in threads of their own, stored, and only then written down.

Pictures are decoded by two threads of a process at most, whatever arrives; the disk and the storage have threads of
their own, so that a slow one holds up nothing else.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from aiohttp import web
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.orm import Session
from typing_extensions import override

from atelier.contracts.idempotency import Keyed
from atelier.files import service
from atelier.files.intake import Intake, Prepared, Sent
from atelier.files.service import NewFile, Quota
from atelier.kernel import ids, logs, tokens
from atelier.kernel.errors import AtelierError, Refusal, Transient
from atelier.kernel.settings import Settings
from atelier.storage.port import Storage, StorageUnavailable
from web import multipart
from web.multipart import Received
from web.reading import Refused
from web.routing import Call

T = TypeVar("T")
LOOKS_AT_ONCE = 2
DISK_THREADS = 8
UPLOADS_AT_ONCE = 32
log = logs.get(__name__)


class TooManyUploads(Transient):
    """This process receives as many files as it can."""


class Add(Protocol):
    """Writes a stored file down: the answer, and whether it had been given before."""

    def __call__(
        self, session: Session, new: NewFile, *, quota: Quota | None, keyed: Keyed | None, now_ms: int
    ) -> tuple[Mapping[str, Any], bool]:
        """See `files.service.add`."""
        ...


class Uploads:
    """One per web process."""

    def __init__(self, settings: Settings, storage: Storage) -> None:
        self.intake = Intake.of(settings)
        self.quota = Quota(files_max=settings.user_files_max, bytes_max=settings.user_bytes_max)
        self.figures = Figures()
        self._storage = storage
        self._looks = ThreadPoolExecutor(LOOKS_AT_ONCE, "pictures")
        self._disk = ThreadPoolExecutor(DISK_THREADS, "uploads")
        self._running = 0

    def close(self) -> None:
        """Wait for what is being looked at and stored."""
        self._looks.shutdown()
        self._disk.shutdown()

    async def keep(
        self,
        call: Call,
        *,
        kind: str,
        limit: int,
        prepare: Callable[[Sent], Prepared],
        add: Add,
        quota: Quota | None,
    ) -> tuple[Mapping[str, Any], bool]:
        """Receive the request's file and keep what `prepare` makes of it; the answer, and whether it is a replay.

        Raises Refused and what is refused about files.
        """
        user_id, db = call.user.user_id, call.services.db
        with self.figures.counting() as count:
            if quota and call.keyed is None:  # Who can keep nothing need not send it first.
                await db.read(service.foresee, user_id=user_id, size=1, quota=quota, keyed=None)
            async with self.receiving(call, limit=limit) as received:
                keyed = fingerprinted(call.keyed, received)
                prepared = await self._in(self._looks, lambda: prepare(_sent(received)))
                with prepared.file:
                    answer = await db.read(
                        service.foresee, user_id=user_id, size=prepared.size, quota=quota, keyed=keyed
                    )
                    replayed = answer is not None
                    if answer is None:
                        answer, replayed = await self._added(call, kind, prepared, keyed, add=add, quota=quota)
            count("replayed" if replayed else "stored", size=0 if replayed else prepared.size)
        return answer, replayed

    @asynccontextmanager
    async def receiving(
        self, call: Call, *, limit: int, fields: frozenset[str] = frozenset()
    ) -> AsyncGenerator[Received]:
        """The request's form, its file on the disk as long as the block lasts. Raises Refused and TooManyUploads."""
        if self._running >= UPLOADS_AT_ONCE:
            raise TooManyUploads
        self._running += 1
        try:
            with await self.in_thread(self.intake.spool.file) as file:
                yield await multipart.receive(call.request, into=file, limit=limit, run=self.in_thread, fields=fields)
        finally:
            self._running -= 1

    async def look(self, work: Callable[[], T]) -> T:
        """Decode a picture, when its turn has come."""
        return await self._in(self._looks, work)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Do something with the disk or the storage."""
        return await self._in(self._disk, work)

    async def _added(
        self, call: Call, kind: str, prepared: Prepared, keyed: Keyed | None, *, add: Add, quota: Quota | None
    ) -> tuple[Mapping[str, Any], bool]:
        key = await self.in_thread(lambda: prepared.keep(self._storage))
        new = NewFile(
            id=ids.new_id(),
            owner_id=call.user.user_id,
            kind=kind,
            name=prepared.name,
            type=prepared.type,
            size=prepared.size,
            sha256=prepared.sha256,
            key=key,
        )
        try:
            answer, replayed = await call.services.db.transact(add, new, quota=quota, keyed=keyed, now_ms=call.now_ms)
        except Refusal:
            await self._discard(key)
            raise
        if replayed:
            await self._discard(key)
        return answer, replayed

    async def _discard(self, key: str) -> None:
        """These bytes belong to nobody; if they can't be deleted now, the collector finds them."""
        try:
            await self.in_thread(lambda: self._storage.delete(key))
        except StorageUnavailable:
            log.warning("uploads.not_discarded", key=key)

    @staticmethod
    async def _in(threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, work)


UPLOADS: web.AppKey[Uploads] = web.AppKey("uploads", Uploads)


def install(application: web.Application, uploads: Uploads) -> None:
    """Make it a part of the application."""

    async def serve(application: web.Application) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(application[UPLOADS].close)

    application[UPLOADS] = uploads
    application.cleanup_ctx.append(serve)


def fingerprinted(keyed: Keyed | None, received: Received) -> Keyed | None:
    """The key of a request with a file: the same one is the same bytes under the same name and type.

    The boundary of a form differs whenever it is sent, so the form as such has no fingerprint.
    """
    if keyed is None:
        return None
    said = f"{keyed.fingerprint}\n{received.sha256}\n{received.name}\n{received.content_type}"
    return replace(keyed, fingerprint=tokens.digest(said))


def _sent(received: Received) -> Sent:
    return Sent(file=received.file, name=received.name, content_type=received.content_type)


class Figures(Collector):
    """How many files came, how large they were, and why some were refused. Only the event loop counts."""

    def __init__(self) -> None:
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._bytes = 0

    @contextmanager
    def counting(self) -> Generator[Callable[..., None]]:
        """Count one upload: by the outcome that the block names, else by what it raises."""

        def count(outcome: str, *, size: int) -> None:
            self._outcomes[outcome, ""] += 1
            self._bytes += size

        try:
            yield count
        except Refused as refused:
            self._outcomes["refused", refused.fault.code] += 1
            raise
        except AtelierError as error:
            outcome = "failed" if isinstance(error, Transient) else "refused"
            self._outcomes[outcome, " ".join((error.code, *_reason(error)))] += 1
            raise

    @override
    def collect(self) -> Iterator[Metric]:
        """Both counters."""
        uploads = CounterMetricFamily("atelier_uploads", "Files that were sent", labels=["outcome", "reason"])
        for labels, count in list(self._outcomes.items()):
            uploads.add_metric(labels, count)
        yield uploads
        yield CounterMetricFamily("atelier_upload_bytes", "Bytes of files that were sent and kept", value=self._bytes)


def _reason(error: AtelierError) -> list[str]:
    reason: object = error.details.get("reason")
    return [reason] if isinstance(reason, str) else []
