"""What a fresh installation sells."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from sqlalchemy.orm import Session

from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.orders import packages, seeding
from atelier.orders.packages import Package


def listed(db: Database) -> list[Package]:
    return db.read(packages.listed, retired=True)


def change(session: Session, *, package_id: str) -> Package:
    package = packages.held(session, package_id=package_id)
    return packages.change(session, package, replace(seeding.OFFERED[package_id], price_fen=1), now_ms=now_ms())


def test_four_packages_are_added_and_never_overwritten(db: Database) -> None:
    db.transact(seeding.seed, now_ms=1_000)
    first = listed(db)
    assert [(one.id, one.version, one.price_fen) for one in first] == [
        (package_id, 1, terms.price_fen) for package_id, terms in seeding.OFFERED.items()
    ]
    assert len(first) == 4
    changed, retired = first[0].id, first[1].id
    assert db.transact(change, package_id=changed).version == 2
    assert db.transact(packages.retire, package_id=retired, now_ms=2_000)
    before = listed(db)
    db.transact(seeding.seed, now_ms=3_000)
    assert listed(db) == before
    assert [one.id for one in db.read(packages.listed)] == [one.id for one in before if one.id != retired]


def test_processes_that_seed_at_once_add_them_once(db: Database) -> None:
    with ThreadPoolExecutor(6) as threads:
        seeding_now = [threads.submit(db.transact, seeding.seed, now_ms=ms) for ms in range(1, 7)]
    assert [one.exception() for one in seeding_now] == [None] * 6
    assert len(listed(db)) == 4
