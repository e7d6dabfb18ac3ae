"""No route of the first drafts' front ends is left out of the tests that drive them over HTTP, on both databases."""

from types import ModuleType

import pytest

from tests.contract import seed_routes, test_buying, test_creators, test_front_ends, test_people
from web import routes

DRIVING: tuple[ModuleType, ...] = (test_front_ends, test_creators, test_people, test_buying)


def _said(module: ModuleType) -> set[str]:
    marks: list[pytest.Mark] = [
        mark
        for name, found in vars(module).items()
        if name.startswith("test_")
        for mark in getattr(found, "pytestmark", [])
    ]
    return {route for mark in marks if mark.name == seed_routes.drives.name for route in mark.args}


def test_every_route_of_the_first_drafts_is_driven_as_a_front_end_does() -> None:
    driven = {route for module in DRIVING for route in _said(module)}
    assert sorted(driven ^ seed_routes.ROUTES) == []


def test_every_route_of_the_first_drafts_exists() -> None:
    assert sorted(seed_routes.ROUTES - {f"{one.method} {one.path}" for one in routes.ENDPOINTS}) == []
