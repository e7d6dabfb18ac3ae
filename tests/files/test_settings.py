"""Settings of the storage."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from atelier.kernel import settings
from atelier.kernel.settings import BadSettings

SOUND = {
    "ATELIER_STORAGE": "oss",
    "ATELIER_OSS_ENDPOINT": "https://oss-cn-hangzhou.aliyuncs.com",
    "ATELIER_OSS_REGION": "cn-hangzhou",
    "ATELIER_OSS_BUCKET": "atelier-files",
    "ATELIER_OSS_KEY_ID": "an-id",
    "ATELIER_OSS_KEY_SECRET": "canary-of-oss",
}
PRODUCTION = {
    "NODE_ENV": "production",
    "DATABASE_URL": "mysql://atelier:x@db/atelier",
    "JWT_SECRET": "J4v9-kQ2x_8wZr7LmN1pTb6cYd3fHs5g",
    "ATELIER_FLOWER_AUTH": "ops:Vq8-ring",
}


@pytest.fixture(autouse=True)
def environment(tmp_path: Path) -> Iterator[Path]:
    """Variables that a test sets end with it."""
    before = dict(os.environ)
    os.environ["ATELIER_DATA_DIR"] = str(tmp_path / "data")
    yield tmp_path
    os.environ.clear()
    os.environ.update(before)


def test_a_bucket_needs_all_of_its_settings() -> None:
    os.environ["ATELIER_STORAGE"] = "oss"
    with pytest.raises(BadSettings) as caught:
        settings.load()
    for name in ("OSS_ENDPOINT", "OSS_BUCKET", "OSS_KEY_ID", "OSS_KEY_SECRET"):
        assert f"ATELIER_{name} is needed for files in OSS" in str(caught.value)
    os.environ |= SOUND
    assert settings.load().oss_bucket == "atelier-files"


def test_the_secret_may_be_in_a_file_and_never_shows(environment: Path) -> None:
    (environment / "secret").write_text("canary-of-oss\n")
    os.environ |= {name: value for name, value in SOUND.items() if name != "ATELIER_OSS_KEY_SECRET"}
    os.environ["ATELIER_OSS_KEY_SECRET_FILE"] = str(environment / "secret")
    found = settings.load()
    assert found.oss_key_secret.get_secret_value() == "canary-of-oss"
    assert "canary-of-oss" not in repr(found)


@pytest.mark.parametrize("prefix", ["/x/", "x", "../", "X/", "a b/", "?x/"])
def test_a_prefix_is_a_folder(prefix: str) -> None:
    os.environ |= SOUND | {"ATELIER_OSS_PREFIX": prefix}
    with pytest.raises(BadSettings, match="ATELIER_OSS_PREFIX"):
        settings.load()


def test_in_production_browsers_reach_a_bucket_by_https() -> None:
    os.environ |= PRODUCTION | SOUND | {"ATELIER_OSS_ENDPOINT": "http://oss-cn-hangzhou-internal.aliyuncs.com"}
    with pytest.raises(BadSettings, match="ATELIER_OSS_PUBLIC_ENDPOINT must be https"):
        settings.load()
    os.environ["ATELIER_OSS_PUBLIC_ENDPOINT"] = "https://oss-cn-hangzhou.aliyuncs.com"
    assert settings.load().storage == "oss"
