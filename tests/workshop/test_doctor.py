"""The doctor names each thing that a hand has changed in projects, and finds nothing in what the product wrote."""

import re

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from atelier.generation import doctor
from atelier.generation.doctor import Report
from atelier.kernel.clock import now_ms
from tests.workshop.corruptions import PROJECT_CORRUPTIONS
from tests.workshop.studio import Studio

PARAMETERS = re.compile(r":(\w+)")


def world(studio: Studio) -> dict[str, str]:
    """What the corruptions speak of."""
    owner, editor = studio.user(), studio.user()
    project = studio.project(owner, editor=editor)
    studio.add(project, owner)
    saved, refused, waiting = (studio.submit(project, editor) for _ in range(3))
    assert studio.complete(saved)
    assert studio.complete(refused, versions_max=1)
    studio.invite(project, owner, email="someone@example.com")
    names = {"owner": owner, "project": project, "saved": saved, "refused": refused, "waiting": waiting}
    assert studio.jobs.examine().totals == {}
    return names


def examined_after(studio: Studio, change: str, names: dict[str, str]) -> Report:
    """What the doctor says of the change, which is undone afterwards."""
    with Session(studio.db.writer) as session:
        session.execute(text(change), {name: names[name] for name in PARAMETERS.findall(change)})
        report = doctor.examine(session, now_ms=now_ms())
        session.rollback()
    return report


def test_each_is_named_and_nothing_else(studio: Studio, subtests: pytest.Subtests) -> None:
    names = world(studio)
    for name, (change, named) in PROJECT_CORRUPTIONS.items():
        with subtests.test(name):
            report = examined_after(studio, change, names)
            assert set(report.totals) == set(named), report.findings
            for check, whom in named.items():
                subjects = {one.subject for one in report.findings if one.check == check}
                assert {names[one] for one in whom.split()} == subjects


def test_none_of_them_is_about_money() -> None:
    assert not any(doctor.is_about_money(check) for _, named in PROJECT_CORRUPTIONS.values() for check in named)
