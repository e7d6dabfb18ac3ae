"""What every store promises."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from atelier.kernel.settings import Settings
from atelier.storage import stores
from atelier.storage.fake_oss import FakeOss
from atelier.storage.local import LocalStorage
from atelier.storage.oss import OssStorage
from atelier.storage.port import FileMissing, Storage, StorageUnavailable

DATA = bytes(range(256)) * 4_000


def read(storage: Storage, key: str) -> bytes:
    with storage.open(key) as file:
        return file.read()


def test_what_is_kept_is_given_back(storage: Storage) -> None:
    storage.put("outputs/a-1/1/0.png", DATA, content_type="image/png")
    assert read(storage, "outputs/a-1/1/0.png") == DATA
    assert storage.size("outputs/a-1/1/0.png") == len(DATA)
    storage.put("outputs/a-1/1/0.png", b"newer")
    assert read(storage, "outputs/a-1/1/0.png") == b"newer"


def test_a_file_is_kept_from_its_beginning_whatever_was_read_of_it(storage: Storage) -> None:
    file = io.BytesIO(DATA)
    file.read(100)
    storage.put_file("files/x", file, content_type="text/plain")
    assert read(storage, "files/x") == DATA


def test_a_file_without_a_byte_is_a_file(storage: Storage) -> None:
    storage.put("files/empty", b"")
    assert (storage.size("files/empty"), read(storage, "files/empty")) == (0, b"")


def test_what_is_not_there_is_missing_and_forgotten_without_a_word(storage: Storage) -> None:
    for ask in (storage.open, storage.size):
        with pytest.raises(FileMissing):
            ask("files/none")
    storage.put("files/x", b"x")
    for _ in range(2):
        storage.delete("files/x")
    with pytest.raises(FileMissing):
        storage.size("files/x")


def test_keys_come_in_order_and_page_by_page(storage: Storage) -> None:
    keys = [f"files/{folder}/{name}.txt" for folder in ("0a", "0b", "1c") for name in ("aa", "bb")]
    for key in (*reversed(keys), "other/x", "incoming/y"):
        storage.put(key, b"x")
    assert storage.keys("files", limit=100) == keys
    assert storage.keys("files", limit=2) == keys[:2]
    assert storage.keys("files", after=keys[1], limit=3) == keys[2:5]
    assert storage.keys("files", after="files/0b/aaa", limit=100) == keys[3:]
    assert storage.keys("files", after=keys[-1], limit=100) == []
    assert storage.keys("nothing", limit=100) == []


def test_a_store_that_works_passes_its_check_without_leaving_a_key_of_ours(storage: Storage) -> None:
    storage.check()
    storage.check()
    assert storage.keys("files", limit=10) == []


def test_what_a_killed_process_left_half_written_is_no_file(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.put("files/x", b"x")
    (tmp_path / "files" / ".unfinished-abc").write_bytes(b"half")
    assert storage.keys("files", limit=10) == ["files/x"]


@pytest.mark.parametrize("key", ["../x", "files/../x", "/etc/passwd", "files//x", "Files/x", "files/x y", "", "files/"])
def test_a_folder_opens_nothing_but_keys(tmp_path: Path, key: str) -> None:
    storage = LocalStorage(tmp_path)
    for ask in (storage.path, storage.open, storage.size, storage.delete):
        with pytest.raises(FileMissing):
            ask(key)


def test_a_folder_that_can_not_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("a file where the folder should be")
    storage = LocalStorage(tmp_path / "files")
    for act in (storage.check, lambda: storage.put("files/x", b"x")):
        with pytest.raises(StorageUnavailable):
            act()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_settings_choose(settings: Callable[..., Settings], oss: FakeOss) -> None:
    assert isinstance(stores.choose(settings()), LocalStorage)
    chosen = settings(
        storage="oss",
        oss_endpoint=oss.endpoint,
        oss_bucket=oss.bucket,
        oss_key_id=oss.keeper.key_id,
        oss_key_secret=oss.keeper.key_secret,
        oss_prefix="here/",
    )
    store = stores.choose(chosen)
    assert isinstance(store, OssStorage)
    store.put("files/x", b"x")
    assert list(oss.objects) == ["here/files/x"]
