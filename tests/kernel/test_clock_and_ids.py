"""Time in milliseconds, by the process and by the database, and ids that sort by it."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.kernel import clock, ids
from atelier.kernel.clock import db_now_ms, now_ms
from atelier.kernel.database import Database


def test_the_database_tells_the_time_in_whole_milliseconds(db: Database) -> None:
    def tell(session: Session) -> tuple[int, int]:
        first, second = session.execute(select(db_now_ms(), db_now_ms() + 5)).one()
        return first, second

    before = now_ms()
    told, later = db.read(tell)
    assert before - 1 <= told <= now_ms() + 1
    assert isinstance(told, int)
    assert later == told + 5


@pytest.mark.parametrize(
    ("ms", "shown"),
    [(0, "1970-01-01T00:00:00.000Z"), (1_769_846_400_001, "2026-01-31T08:00:00.001Z"), (None, None)],
)
def test_people_and_programs_read_rfc_3339(ms: int | None, shown: str | None) -> None:
    assert clock.rfc3339(ms) == shown


def test_ids_are_new_and_sort_by_the_time_they_were_made() -> None:
    before = ids.floor(now_ms())
    made = [ids.new_id() for _ in range(2_000)]
    assert sorted(set(made)) == made
    assert before <= made[0] < ids.floor(now_ms() + 2)
    assert all(ids.is_id(one) for one in made)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "system:clearing",
        "0199C82C-C3E8-7000-817E-270E8C8E1630",
        "{0199c82c-c3e8-7000-817e-270e8c8e1630}",
        "0199c82cc3e87000817e270e8c8e1630",
        "0199c82c-c3e8-7000-817e-270e8c8e163g",
        "urn:uuid:0199c82c-c3e8-7000-817e-270e8c8e1630",
    ],
)
def test_only_the_canonical_form_is_an_id(text: str) -> None:
    assert not ids.is_id(text)


@pytest.mark.parametrize("ms", [-5, 0, 1_760_000_000_000, 2**60])
def test_a_floor_is_never_out_of_range(ms: int) -> None:
    assert "00000000-0000" <= ids.floor(ms) <= "ffffffff-ffff"
