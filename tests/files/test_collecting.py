"""What nobody needs is removed, and nothing else ever."""

import contextlib
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session
from typing_extensions import override

from atelier.files import collecting, direct, models, names, service
from atelier.files.direct import Announcement, Verdict
from atelier.files.errors import FileNotFound, FileQuotaExceeded
from atelier.files.models import FILES, USAGE
from atelier.files.service import NewFile, Quota
from atelier.kernel import clock
from atelier.kernel.clock import DAY_MS, HOUR_MS
from atelier.kernel.database import Database
from atelier.kernel.ids import new_id
from atelier.storage.local import LocalStorage
from tests.bounds import examples
from tests.files import samples
from tests.files.conftest import IN_A_FOLDER, ONE_DATABASE, Shop
from tests.files.test_direct_uploads import FILM, announced, send

OLD_MS = clock.now_ms() - 3 * HOUR_MS


def _set(session: Session, /, **values: Any) -> None:
    session.execute(update(FILES).values(**values))


def key_of(ms: int) -> str:
    """A key that was made at this moment."""
    made = names.new_key(names.FILES, content_type="text/plain")
    return names.floor(names.FILES, ms) + made[len(names.floor(names.FILES, ms)) :]


async def test_bytes_without_a_row_are_removed_once_they_are_old(shop: Shop) -> None:
    me = shop.world.person()
    await shop.upload(me, samples.PDF, name="a.pdf", content_type="application/pdf")
    (kept,) = shop.keys()
    old, fresh, foreign = key_of(OLD_MS), key_of(clock.now_ms()), "files/readme.txt"
    for key in (old, fresh, foreign):
        shop.storage.put(key, b"orphan")
    assert shop.collect()["orphans"] == 1
    assert [shop.exists(key) for key in (kept, old, fresh, foreign)] == [True, False, True, True]
    assert shop.collect()["orphans"] == 0, "it has gone on"
    assert shop.collect(later_ms=3 * HOUR_MS)["orphans"] == 1
    assert [shop.exists(key) for key in (kept, fresh)] == [True, False]


@ONE_DATABASE
@IN_A_FOLDER
async def test_more_orphans_than_a_page(shop: Shop) -> None:
    keys = [key_of(OLD_MS + number) for number in range(collecting.KEYS_PER_PAGE + 20)]
    for key in keys:
        shop.storage.put(key, b"x")
    assert shop.collect()["orphans"] == len(keys)
    assert shop.keys() == []


async def test_an_upload_that_was_never_finished_is_given_up(shop: Shop) -> None:
    me = shop.world.person()
    form = (await announced(shop, me, FILM)).body
    await send(shop, form, FILM)
    assert shop.collect() == {"lapsed": 0, "requeued": 0, "forgotten": 0, "incoming": 0, "orphans": 0}
    assert len(shop.keys("incoming")) == 1
    shop.database.transact(_set, due_ms=0)
    assert shop.collect()["lapsed"] == 1
    shop.work()
    assert (shop.states(), shop.usage(me), shop.keys("incoming")) == ({}, (0, 0), [])
    assert (await shop.ask("GET", f"/api/files/uploads/{form['id']}", me)).status == 404


async def test_a_removal_whose_message_was_lost_is_made_again(shop: Shop) -> None:
    me = shop.world.person()
    path = (await shop.upload(me, samples.PDF, name="a.pdf", content_type="application/pdf")).body["url"]
    await shop.ask("DELETE", path, me)
    shop.database.transact(_set, due_ms=0)
    assert shop.collect()["requeued"] == 1
    assert shop.collect()["requeued"] == 0, "its worker is given time"
    shop.work()
    assert (shop.states(), shop.keys()) == ({}, [])


async def test_what_was_refused_is_forgotten_after_a_week(shop: Shop) -> None:
    me = shop.world.person()
    form = (await announced(shop, me, b"<html>", name="a.png", content_type="image/png")).body
    await send(shop, form, b"<html>")
    await shop.ask("POST", f"/api/files/uploads/{form['id']}/complete", me)
    shop.work()
    assert (shop.states(), shop.collect()["forgotten"]) == ({"refused": 1}, 0)
    shop.database.transact(_set, due_ms=clock.now_ms() - DAY_MS)
    assert (shop.collect()["forgotten"], shop.states()) == (1, {})


# -- whatever happens in whatever order


QUOTA = Quota(files_max=4, bytes_max=1_000)


class Files(RuleBasedStateMachine):
    """Users add, announce, finish, delete; workers and collectors come and go; what is counted is what is there."""

    database: Database
    storage: LocalStorage
    restore: Any

    def __init__(self) -> None:
        super().__init__()
        self.restore()
        for folder in (names.FILES, names.INCOMING):
            for key in self.storage.keys(folder, limit=1_000):
                self.storage.delete(key)
        self.files: list[str] = []

    @rule(user=st.sampled_from("ab"), size=st.integers(0, 600))
    def add(self, user: str, size: int) -> None:
        key = names.new_key(names.FILES, content_type="text/plain")
        self.storage.put(key, b"x" * size)
        new = NewFile(
            id=new_id(), owner_id=user, kind=models.UPLOAD, name="a.txt", type="text/plain", size=size,
            sha256="0" * 64, key=key,
        )  # fmt: skip
        try:
            self.database.transact(service.add, new, quota=QUOTA, keyed=None, now_ms=clock.now_ms())
            self.files.append(new.id)
        except FileQuotaExceeded:
            self.storage.delete(key)

    @rule(user=st.sampled_from("ab"), size=st.integers(1, 600), sends=st.booleans())
    def announce(self, user: str, size: int, sends: bool) -> None:  # noqa: FBT001 - drawn
        key = names.new_key(names.INCOMING, content_type="text/plain")
        new = Announcement(id=new_id(), owner_id=user, name="a.txt", type="text/plain", size=size, key=key)
        try:
            self.database.transact(direct.announce, new, quota=QUOTA, form_ms=1_000, keyed=None, now_ms=clock.now_ms())
        except FileQuotaExceeded:
            return
        self.files.append(new.id)
        if sends:
            self.storage.put(key, b"x" * size)
            self.database.transact(direct.arrived, file_id=new.id, now_ms=clock.now_ms())

    @rule(data=st.data(), size=st.integers(0, 700), refused=st.booleans())
    def look(self, data: st.DataObject, size: int, refused: bool) -> None:  # noqa: FBT001 - drawn
        if claimed := self.database.transact(direct.claim, file_id=self._one(data)):
            key = names.new_key(names.FILES, content_type="text/plain")
            self.storage.put(key, b"x" * size)
            kept = Verdict(name="a.txt", type="text/plain", size=size, sha256="0" * 64, key=key)
            self.database.transact(direct.settle, claimed, Verdict(refusal="IMAGE_INVALID") if refused else kept)

    @rule(data=st.data(), user=st.sampled_from("ab"))
    def delete(self, data: st.DataObject, user: str) -> None:
        with contextlib.suppress(FileNotFound):
            self.database.transact(service.remove, file_id=self._one(data), owner_id=user, now_ms=clock.now_ms())

    @rule(data=st.data())
    def clear(self, data: st.DataObject) -> None:
        collecting.remove(self.database, storage=self.storage, file_id=self._one(data))

    @rule(late=st.booleans())
    def collect(self, late: bool) -> None:  # noqa: FBT001 - drawn
        if late:
            self.database.transact(_set, due_ms=0)
        collecting.collect(self.database, storage=self.storage, now_ms=clock.now_ms() + 3 * HOUR_MS * late)

    @invariant()
    def what_is_counted_is_what_is_there(self) -> None:
        counted = self.database.read(_counted)
        assert counted == self.database.read(_usage)
        assert all(files <= QUOTA.files_max for files, _ in counted.values())

    @invariant()
    def what_may_be_read_is_there(self) -> None:
        keys = self.database.read(
            lambda session: session.scalars(select(FILES.c.key).where(FILES.c.state == "ready")).all()
        )
        assert set(keys) <= set(self.storage.keys(names.FILES, limit=1_000))

    @override
    def teardown(self) -> None:
        for _ in range(2):
            self.database.transact(_set, due_ms=0)
            collecting.collect(self.database, storage=self.storage, now_ms=clock.now_ms() + 3 * HOUR_MS)
            for file_id in self.files:
                collecting.remove(self.database, storage=self.storage, file_id=file_id)
        rows = self.database.read(lambda session: session.scalars(select(FILES.c.key)).all())
        stored = {key for folder in (names.FILES, names.INCOMING) for key in self.storage.keys(folder, limit=1_000)}
        assert stored <= set(rows), "in the end nothing is left that nobody has"

    def _one(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(self.files)) if self.files else new_id()


def _counted(session: Session) -> dict[str, tuple[int, int]]:
    rows = session.execute(
        select(FILES.c.owner_id, func.count(), func.sum(FILES.c.size))
        .where(FILES.c.state.in_(("pending", "checking", "ready")))
        .group_by(FILES.c.owner_id)
    )
    return {row[0]: (row[1], int(row[2])) for row in rows}


def _usage(session: Session) -> dict[str, tuple[int, int]]:
    rows = session.execute(select(USAGE.c.user_id, USAGE.c.files, USAGE.c.bytes).where(USAGE.c.files > 0))
    return {row[0]: (row[1], row[2]) for row in rows}


def test_whatever_happens_the_counts_are_right(db: Database, restore: Any, tmp_path: Any, engine: str) -> None:
    class Here(Files):
        pass

    Here.database, Here.storage, Here.restore = db, LocalStorage(tmp_path / "files"), staticmethod(restore)
    number = 10 if engine == "sqlite" else 4
    run_state_machine_as_test(
        Here, settings=settings(max_examples=examples(number), stateful_step_count=20, deadline=None)
    )


@pytest.mark.parametrize("size", [1_001, 2**62])
def test_one_file_that_is_larger_than_everything(db: Database, size: int) -> None:
    with pytest.raises(FileQuotaExceeded):
        db.transact(service.take, user_id="a", size=size, quota=QUOTA)
    assert db.read(service.usage, user_id="a") == (0, 0)
