"""Stores: a folder, and a bucket behind an OSS endpoint that verifies every signature."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atelier.storage.fake_oss import FakeOss
from atelier.storage.local import LocalStorage
from atelier.storage.oss import OssOptions, OssStorage
from atelier.storage.port import Storage

Open = Callable[..., OssStorage]


@pytest.fixture
def oss() -> Iterator[FakeOss]:
    """The endpoint."""
    with FakeOss() as server:
        yield server


@pytest.fixture(params=["", "cn-hangzhou"], ids=["version 1", "version 4"])
def region(request: pytest.FixtureRequest) -> str:
    """Which version of signatures: without a region the first one."""
    name: str = request.param
    return name


@pytest.fixture
def open_bucket(oss: FakeOss, region: str) -> Open:
    """Open the bucket, with other options than the right ones if a test says so."""
    right = OssOptions(
        endpoint=oss.endpoint,
        public_endpoint=oss.endpoint,
        bucket=oss.bucket,
        key_id=oss.keeper.key_id,
        key_secret=oss.keeper.key_secret,
        region=region,
        connect_seconds=2,
        read_seconds=2,
        pause_seconds=0.001,
    )

    def start(**changes: Any) -> OssStorage:
        return OssStorage(replace(right, **changes))

    return start


@pytest.fixture
def bucket(open_bucket: Open) -> OssStorage:
    """The bucket."""
    return open_bucket()


@pytest.fixture(params=["local", "oss"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """Each kind of store, for what they all promise."""
    if request.param == "local":
        return LocalStorage(tmp_path / "files")
    server: FakeOss = request.getfixturevalue("oss")
    return OssStorage(
        OssOptions(
            endpoint=server.endpoint,
            public_endpoint=server.endpoint,
            bucket=server.bucket,
            key_id=server.keeper.key_id,
            key_secret=server.keeper.key_secret,
            region=server.keeper.region,
            prefix="atelier/",
        )
    )
