"""Who may do what: every route of projects, as each of seven people, in each state that a project can be in."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from atelier.accounts.models import User
from atelier.catalog.seed_content import ECHO
from tests.workshop.conftest import BASE, House
from web.handlers import project_members, project_versions, projects

STATES = ("private", "team", "public", "deleted")
PEOPLE = ("owner", "editor", "viewer", "invited", "stranger", "admin", "anonymous")
# By what a route needs: the status for each of the people, in each state of the project. 200 stands for any good one.
RULES: dict[str, tuple[tuple[int, ...], ...]] = {
    "read": (
        (200, 404, 404, 404, 404, 404, 404),
        (200, 200, 200, 404, 404, 404, 404),
        (200, 200, 200, 200, 200, 200, 200),
        (404, 404, 404, 404, 404, 404, 404),
    ),
    "belong": (
        (200, 404, 404, 404, 404, 404, 401),
        (200, 200, 200, 404, 404, 404, 401),
        (200, 200, 200, 403, 403, 403, 401),
        (404, 404, 404, 404, 404, 404, 401),
    ),
    "write": (
        (200, 404, 404, 404, 404, 404, 401),
        (200, 200, 403, 404, 404, 404, 401),
        (200, 200, 403, 403, 403, 403, 401),
        (404, 404, 404, 404, 404, 404, 401),
    ),
    "generate": (
        (200, 404, 404, 404, 404, 404, 401),
        (200, 200, 404, 404, 404, 404, 401),
        (200, 200, 404, 404, 404, 404, 401),
        (404, 404, 404, 404, 404, 404, 401),
    ),
    "own": (
        (200, 404, 404, 404, 404, 404, 401),
        (200, 403, 403, 404, 404, 404, 401),
        (200, 403, 403, 403, 403, 403, 401),
        (404, 404, 404, 404, 404, 404, 401),
    ),
    "invite": (  # As what only the owner may do, but to a private project nobody is invited.
        (409, 404, 404, 404, 404, 404, 401),
        (200, 403, 403, 404, 404, 404, 401),
        (200, 403, 403, 403, 403, 403, 401),
        (404, 404, 404, 404, 404, 404, 401),
    ),
    "accept": (  # Who belongs to it has accepted already.
        (404, 404, 404, 404, 404, 404, 401),
        (200, 200, 200, 200, 404, 404, 401),
        (200, 200, 200, 200, 404, 404, 401),
        (404, 404, 404, 404, 404, 404, 401),
    ),
    "decline": (
        (404, 404, 404, 404, 404, 404, 401),
        (409, 409, 409, 200, 404, 404, 401),
        (409, 409, 409, 200, 404, 404, 401),
        (404, 404, 404, 404, 404, 404, 401),
    ),
    "leave": (  # An owner is no member of their own project.
        (404, 404, 404, 404, 404, 404, 401),
        (404, 200, 200, 404, 404, 404, 401),
        (404, 200, 200, 403, 403, 403, 401),
        (404, 404, 404, 404, 404, 404, 401),
    ),
    "restore": (
        (200, 404, 404, 404, 404, 404, 401),
        (200, 404, 404, 404, 404, 404, 401),
        (200, 404, 404, 404, 404, 404, 401),
        (200, 404, 404, 404, 404, 404, 401),
    ),
}
GENERATE = "/api/workshop/generate"


class Route(NamedTuple):
    """A request, what kind of right it needs, and whether it changes who may do what."""

    method: str
    path: str
    needs: str
    body: dict[str, Any] | None = None
    changes: bool = False


ROUTES = (
    Route("GET", "/{projectId}", "read"),
    Route("GET", "/{projectId}/versions", "read"),
    Route("GET", "/{projectId}/versions/1", "read"),
    Route("GET", "/{projectId}/collaborate", "belong"),
    Route("PUT", "/{projectId}", "write", {"title": "别的"}),
    Route("POST", "/{projectId}/versions", "write", {"content": {"text": "别的"}}),
    Route("POST", "/{projectId}/versions/1/restore", "write"),
    Route("POST", GENERATE, "generate"),
    Route("PUT", "/{projectId}", "own", {"visibility": "another"}, changes=True),
    Route("POST", "/{projectId}/collaborate", "invite", {"email": "new@example.com", "role": "viewer"}),
    Route("DELETE", "/{projectId}/collaborate/{other}", "own", changes=True),
    Route("DELETE", "/{projectId}/collaborate/invitations/{invitationId}", "own", changes=True),
    Route("POST", "/{projectId}/collaborate/accept", "accept", changes=True),
    Route("POST", "/{projectId}/collaborate/decline", "decline", changes=True),
    Route("DELETE", "/{projectId}/collaborate/{me}", "leave", changes=True),
    Route("POST", "/{projectId}/restore", "restore", changes=True),
    Route("DELETE", "/{projectId}", "own", changes=True),
)


@dataclass
class Scene:
    """A project in a state, and everyone around it."""

    house: House
    state: str
    people: dict[str, str | None]
    project: str = ""
    invitation: str = ""
    others: dict[str, str] = field(default_factory=dict[str, str])

    def build(self) -> None:
        """A fresh one, with one version, one more member and one invitation."""
        studio, people = self.house.studio, self.people
        people["owner"] = owner = studio.user(credits=5)
        self.others["member"] = studio.user()
        self.project = studio.project(owner, viewer=self.others["member"])
        studio.join(self.project, editor=people["editor"] or "", viewer=people["viewer"] or "")
        studio.add(self.project, owner)
        studio.invite(self.project, owner, username=self.others["invited"])
        (one,) = studio.team(self.project, owner).invitations or []
        self.invitation = one.id
        if self.state != "team":
            studio.change(self.project, owner, visibility="public" if self.state == "deleted" else self.state)
        if self.state == "deleted":
            studio.delete(self.project, owner)

    async def status(self, route: Route, person: str) -> int:
        """What the route answers."""
        user_id = self.people[person]
        path = route.path.format(
            projectId=self.project,
            invitationId=self.invitation,
            other=self.others["member"],
            me=user_id or self.others["member"],
        )
        body = route.body
        if route.needs == "generate":
            body = {"agentId": ECHO.id, "inputData": {"prompt": "回声"}, "projectId": self.project}
        elif body and "visibility" in body:
            body = {"visibility": "team" if self.state == "private" else "private"}
        got = await self.house.ask(route.method, path, body, who=user_id)
        if got.status >= 400:
            assert got.headers["Content-Type"].startswith("application/problem+json")
        return got.status


def _appoint(session: Session, *, user_id: str) -> None:
    session.execute(update(User).where(User.id == user_id).values(role="admin"))


@pytest.fixture
def scene(house: House, request: pytest.FixtureRequest) -> Scene:
    studio = house.studio
    people: dict[str, str | None] = {
        name: None if name == "anonymous" else studio.user(name, credits=50) for name in PEOPLE if name != "owner"
    }
    studio.db.transact(_appoint, user_id=str(people["admin"]))
    return Scene(house, str(request.param), people, others={"invited": "invited"})


@pytest.mark.parametrize("scene", STATES, indirect=True)
async def test_everyone_may_do_exactly_what_the_rules_say(scene: Scene) -> None:
    wrong: list[str] = []
    scene.build()
    for person in PEOPLE:
        for route in ROUTES:
            expected = RULES[route.needs][STATES.index(scene.state)][PEOPLE.index(person)]
            status = await scene.status(route, person)
            if (status if status >= 400 else 200) != expected:
                wrong.append(f"{scene.state}: {person} {route.method} {route.path}: {status}, not {expected}")
            if status < 400 and route.changes:
                scene.build()
    assert wrong == []


def test_the_matrix_has_every_route() -> None:
    tried = {(one.method, _plain(one.path)) for one in ROUTES}
    table = (*projects.ENDPOINTS, *project_versions.ENDPOINTS, *project_members.ENDPOINTS)
    routes = {(one.method, one.path.removeprefix(BASE)) for one in table if one.path != BASE}
    assert {(method, path) for method, path in tried if path != GENERATE} == routes


def _plain(path: str) -> str:
    return path.replace("/1", "/{version}").replace("{other}", "{userId}").replace("{me}", "{userId}")
