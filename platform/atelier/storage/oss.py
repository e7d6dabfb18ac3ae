"""Files in a bucket of Aliyun OSS (or of an endpoint that speaks its protocol).

The bucket is private: people read by links that are signed for minutes, and browsers send files by forms that are
signed for one key, type and size. With a region requests are signed by version 4, without one by version 1.
"""

import base64
import hashlib
import importlib.util
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import oss2  # pyright: ignore[reportMissingTypeStubs]
import requests
import tenacity
from oss2.exceptions import (  # pyright: ignore[reportMissingTypeStubs]
    NoSuchBucket,
    NotFound,
    OssError,
)
from typing_extensions import override

from atelier.kernel import logs
from atelier.storage import oss_form
from atelier.storage.port import BINARY, FileMissing, Form, StorageUnavailable

T = TypeVar("T")
log = logs.get(__name__)

CONNECTIONS = 16
KEYS_PER_REQUEST = 1_000
CHUNK_BYTES = 256 * 1024
PROBE = "health/probe"
# Without its compiled half the checksum runs at a few MB/s, which would cost more than it protects.
CHECKSUMS_ARE_FAST = importlib.util.find_spec("crcmod._crcfunext") is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class OssOptions:
    """Where the bucket is. `public_endpoint` is how browsers reach it; `tries` bounds one call's attempts."""

    endpoint: str
    public_endpoint: str
    bucket: str
    key_id: str
    key_secret: str = field(repr=False)
    region: str = ""
    prefix: str = ""
    connect_seconds: float = 2.0
    read_seconds: float = 10.0
    tries: int = 3
    pause_seconds: float = 0.1


class OssStorage:
    """Keeps files as objects `<prefix><key>`. For all threads of a process."""

    def __init__(self, options: OssOptions) -> None:
        self._options = options
        session = oss2.Session(pool_size=CONNECTIONS)
        self._bucket: Any = _bucket(options, options.endpoint, session)
        self._public: Any = _bucket(options, options.public_endpoint, session)

    def put(self, key: str, data: bytes, *, content_type: str = BINARY) -> None:
        """Store the bytes as an object."""
        self.put_file(key, io.BytesIO(data), content_type=content_type)

    def put_file(self, key: str, file: BinaryIO, *, content_type: str = BINARY) -> None:
        """Store the file as an object. OSS compares its digest before it keeps anything."""
        headers = {"Content-Type": content_type, "Content-MD5": _digest(file)}

        def put() -> None:
            file.seek(0)
            self._bucket.put_object(self._name(key), file, headers=headers)

        self._call("put", key, put)

    def open(self, key: str) -> BinaryIO:
        """Read the object as it arrives; its length and checksum are compared at the end."""
        result = self._call("get", key, lambda: self._bucket.get_object(self._name(key)))
        return io.BufferedReader(_Arriving(result), CHUNK_BYTES)

    def path(self, key: str) -> Path | None:  # noqa: ARG002 - as the port has it
        """None: it is not on this machine. Whether it exists is not asked."""
        return None

    def size(self, key: str) -> int:
        """What OSS says of the object."""
        found = self._call("head", key, lambda: self._bucket.head_object(self._name(key)))
        return int(found.content_length)

    def delete(self, key: str) -> None:
        """Delete the object; OSS says yes also when there is none."""
        self._call("delete", key, lambda: self._bucket.delete_object(self._name(key)))

    def keys(self, folder: str, *, after: str = "", limit: int) -> list[str]:
        """List objects in the order of their names."""
        found: list[str] = []
        while len(found) < limit:
            last = found[-1] if found else after
            page = self._page(folder, self._name(last) if last else "", min(KEYS_PER_REQUEST, limit - len(found)))
            found += [str(one.key).removeprefix(self._options.prefix) for one in page.object_list]
            if not page.is_truncated:
                break
        return found

    def link(self, key: str, *, seconds: int, content_type: str, disposition: str) -> str | None:
        """A signed address, which also says with which headers OSS must send the object."""
        params = {"response-content-type": content_type, "response-content-disposition": disposition}
        return str(self._public.sign_url("GET", self._name(key), seconds, params=params, slash_safe=True))

    def form(self, key: str, *, content_type: str, size: int, now_ms: int, expires_ms: int) -> Form | None:
        """A signed policy for a browser's POST."""
        one = oss_form.Upload(
            bucket=self._options.bucket,
            key=self._name(key),
            content_type=content_type,
            size=size,
            now_ms=now_ms,
            expires_ms=expires_ms,
        )
        signer = oss_form.Signer(
            key_id=self._options.key_id, key_secret=self._options.key_secret, region=self._options.region
        )
        url = oss_form.address(self._options.public_endpoint, self._options.bucket)
        return Form(url=url, fields=oss_form.fields(one, signer))

    def check(self) -> None:
        """Write a small object, once: whoever asks for readiness asks again."""
        self._call("check", PROBE, lambda: self._bucket.put_object(self._name(PROBE), b"ready"), tries=1)

    def _name(self, key: str) -> str:
        return f"{self._options.prefix}{key}"

    def _page(self, folder: str, start: str, count: int) -> Any:
        def ask() -> Any:
            return self._bucket.list_objects_v2(prefix=self._name(f"{folder}/"), start_after=start, max_keys=count)

        return self._call("list", folder, ask)

    def _call(self, verb: str, key: str, ask: Callable[[], T], *, tries: int | None = None) -> T:
        """Ask, a few times if the world fails. All of our requests may be repeated without harm."""
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(tries or self._options.tries),
            wait=tenacity.wait_random_exponential(multiplier=self._options.pause_seconds, max=2.0),
            retry=tenacity.retry_if_exception(_may_pass),
            reraise=True,
        )
        try:
            return retrying(ask)
        except (OssError, requests.RequestException) as error:
            if isinstance(error, NotFound) and not isinstance(error, NoSuchBucket):
                raise FileMissing(key) from None
            reason = _reason(error)
            log.warning("oss.failed", verb=verb, key=key, reason=reason)
            # The library's own text may repeat a signed address, so it is neither told nor chained.
            raise StorageUnavailable(reason) from None


class _Arriving(io.RawIOBase):
    """An object's bytes, as a file."""

    def __init__(self, result: Any) -> None:
        self._result = result
        self._left: int = int(result.content_length)

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any) -> int:
        if not self._left:
            return 0
        try:
            chunk: bytes = self._result.read(min(len(buffer), self._left))
        except (OssError, requests.RequestException) as error:
            raise StorageUnavailable(_reason(error)) from None
        if not chunk:
            raise StorageUnavailable("the object broke off")
        buffer[: len(chunk)] = chunk
        self._left -= len(chunk)
        if not self._left:
            self._compare()
        return len(chunk)

    @override
    def close(self) -> None:
        if not self.closed:
            self._result.resp.response.close()
        super().close()

    def _compare(self) -> None:
        if CHECKSUMS_ARE_FAST and self._result.server_crc not in (None, self._result.client_crc):
            raise StorageUnavailable("the object was damaged on its way")


def _bucket(options: OssOptions, endpoint: str, session: Any) -> Any:
    sign = oss2.AuthV4 if options.region else oss2.Auth
    return oss2.Bucket(
        sign(options.key_id, options.key_secret),
        endpoint,
        options.bucket,
        session=session,
        # The library hands this on as it is, and its own library takes both limits together.
        connect_timeout=(options.connect_seconds, options.read_seconds),
        enable_crc=CHECKSUMS_ARE_FAST,
        region=options.region or None,
    )


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, requests.RequestException):
        return True
    # Negative: nothing or nonsense came back, or the checksum differs. Other errors than the library's have none.
    status: int = getattr(error, "status", 0)
    return status < 0 or status >= 500 or status == 429


def _digest(file: BinaryIO) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    file.seek(0)
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
    return base64.b64encode(digest.digest()).decode()


def _reason(error: Exception) -> str:
    if isinstance(error, OssError) and error.status > 0:
        return f"{error.status} {error.code} {error.request_id}".strip()
    inner = getattr(error, "exception", error)
    return type(inner).__name__
