"""Where what is generated is kept: a folder, and a bucket of our own.

storage  the test runs once with each
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from atelier.storage.fake_oss import FakeOss
from atelier.storage.local import LocalStorage
from atelier.storage.oss import OssOptions, OssStorage
from atelier.storage.port import Storage


@pytest.fixture(params=["local", "oss"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "local":
        yield LocalStorage(tmp_path / "files")
        return
    with FakeOss() as oss:
        yield OssStorage(
            OssOptions(
                endpoint=oss.endpoint,
                public_endpoint=oss.endpoint,
                bucket=oss.bucket,
                key_id=oss.keeper.key_id,
                key_secret=oss.keeper.key_secret,
                region=oss.keeper.region,
                prefix="atelier/",
            )
        )
