"""Whatever is wrong with a request, the answer is the problem of the catalogue, and nothing is changed by it.

The attacks are made from the route table (tests.contract.attacks), so an endpoint is attacked as soon as it is listed.
"""

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import httpx
import jwt
import pytest

from atelier.kernel.ids import new_id
from tests.contract import attacks, worlds
from tests.contract.attacks import Asked
from tests.contract.conftest import Place
from tests.contract.worlds import World
from tests.stack import SECRET
from web import messages, openapi, routes
from web.routing import Endpoint

PROBLEM = {"type", "title", "status", "code", "error", "message", "requestId"}
HANDSHAKE = "/api/events"
UNAUTHORIZED = (401, "UNAUTHORIZED")
METHODS = {
    endpoint.path: frozenset(one.method for one in routes.ENDPOINTS if one.path == endpoint.path)
    for endpoint in routes.ENDPOINTS
}
# What of someone else's everybody may read, and what administrators may.
OPEN = {("GET", "/api/users/{userId}")}
OPEN_TO_ADMINISTRATORS = {("GET", "/api/agents/{agentId}"), ("GET", "/api/agents/{agentId}/reviews")}
# Places of paths that hold nothing of anybody's: parts of what is owned, and what everybody sees.
OF_NOBODY = {
    *(
        "caseId",
        "number",
        "version",
        "file",
        "categoryId",
        "packageId",
        "statementId",
        "messageId",
        "queue",
        "provider",
    ),
    *("name", "attemptKey"),
}
# One function lets people in and reads what they send (web/gate.py), so that what does not depend on the endpoint is
# tried in full at the first of each kind: by whom it may be asked, and what it takes.
FEW = [*{(one.auth, one.method, one.accepts, one.body is None): one for one in reversed(routes.ENDPOINTS)}.values()]
every_endpoint = pytest.mark.parametrize(
    "endpoint", routes.ENDPOINTS, ids=[f"{one.method} {one.path}" for one in routes.ENDPOINTS]
)
# For what is refused before any database is asked, or by a question that is the same for every route.
one_database = pytest.mark.parametrize("place", ["sqlite"], indirect=True)


def those(*, few: bool = False, **wanted: Any) -> pytest.MarkDecorator:
    """The endpoints that have these properties; or a few of each kind, and in `make proof` the others."""
    chosen = [one for one in routes.ENDPOINTS if all(getattr(one, name) in values for name, values in wanted.items())]
    marked = [pytest.param(one, marks=pytest.mark.proof if few and one not in FEW else ()) for one in chosen]
    return pytest.mark.parametrize("endpoint", marked, ids=[f"{one.method} {one.path}" for one in chosen])


@pytest.fixture(scope="module")
def world(place: Place) -> Iterator[World]:
    with worlds.world(place) as made:
        yield made


def assert_refused(response: httpx.Response, endpoint: Endpoint, asked: Asked) -> None:
    """The answer is the problem of the catalogue that this way of asking deserves."""
    where = f"{asked.method} {endpoint.path}, {asked.spoiled}: {response.status_code} {response.text[:300]}"
    assert response.headers["Content-Type"] == "application/problem+json", where
    problem = response.json()
    assert (response.status_code, problem["code"]) == asked.refused, where
    assert problem.keys() >= PROBLEM, where
    assert problem["status"] == response.status_code, where
    assert problem["error"] == problem["message"] == messages.sentence(problem["code"], "zh"), where
    assert problem["requestId"] == response.headers["X-Request-ID"], where
    assert response.headers["Cache-Control"] == "no-store", where
    if problem["code"] != "METHOD_NOT_ALLOWED":
        assert problem["code"] in openapi.codes(endpoint), f"not in the document: {where}"
    if endpoint.rate != "none" or asked.method != endpoint.method:
        assert response.headers["RateLimit"], where
        assert response.headers["RateLimit-Policy"], where
    for detail in problem.get("details", []):
        assert detail.keys() == {"path", "message", "code"}, where
        assert detail["message"], where
        assert detail["code"] in messages.FIELDS, where


def assert_harmless(world: World, endpoint: Endpoint, asked: Iterable[Asked], headers: Mapping[str, str]) -> None:
    """Each is refused as it deserves, and none of them has changed a row."""
    before = world.fingerprint()
    for one in asked:
        assert_refused(world.send(one, headers=headers), endpoint, one)
    after = world.fingerprint()
    assert {name for name in after if after[name] != before[name]} == set(), endpoint.path


@every_endpoint
def test_the_request_that_is_spoiled_below_is_good(world: World, endpoint: Endpoint) -> None:
    answer = world.send(attacks.good(endpoint), headers=world.allowed(endpoint))
    assert answer.status_code not in {401, 404, 405, 413, 415, 429, 500, 503}, answer.text
    if not answer.is_success and endpoint.path != HANDSHAKE and endpoint.accepts not in attacks.SIGNED:
        assert answer.json()["code"] != "VALIDATION_FAILED", answer.text


# -- ways to ask wrongly: what each endpoint is asked in turn, by someone who may ask it


Way = Callable[[World, Endpoint, Mapping[str, str]], None]


def a_broken_body(world: World, endpoint: Endpoint, headers: Mapping[str, str]) -> None:
    assert_harmless(world, endpoint, attacks.on_body(endpoint), headers)


def a_broken_query(world: World, endpoint: Endpoint, headers: Mapping[str, str]) -> None:
    assert_harmless(world, endpoint, attacks.on_query(endpoint), headers)


def a_method_that_is_not_there(world: World, endpoint: Endpoint, headers: Mapping[str, str]) -> None:
    asked = list(attacks.on_method(endpoint, known=METHODS[endpoint.path]))
    assert_harmless(world, endpoint, asked, headers)
    allowed = world.send(asked[0], headers=headers).headers["Allow"].split(", ")
    assert set(allowed) - {"HEAD"} == METHODS[endpoint.path]


def an_id_that_cannot_be_one(world: World, endpoint: Endpoint, headers: Mapping[str, str]) -> None:
    assert_harmless(world, endpoint, attacks.on_ids(endpoint), headers)


def an_idempotency_key_that_cannot_be_kept(world: World, endpoint: Endpoint, headers: Mapping[str, str]) -> None:
    assert_harmless(world, endpoint, attacks.on_headers(endpoint), headers)


def a_token_that_is_none(world: World, endpoint: Endpoint, _headers: Mapping[str, str]) -> None:
    if endpoint.auth in {"user", "admin"}:
        assert_shut(world, endpoint, bad_tokens_for_every_door(world, world.token(world.attacker)))


def someone_elses_name_beside_the_own_token(world: World, endpoint: Endpoint, headers: Mapping[str, str]) -> None:
    if endpoint.auth == "public":
        return
    asked = attacks.good(endpoint).spoil("X-User-Id", refused=(403, "FORBIDDEN"))
    before = world.fingerprint()
    for named in (world.victim, "user@example.com", "", "*"):
        answer = world.send(asked, headers={**headers, "X-User-Id": named})
        assert_refused(answer, endpoint, asked)
    assert world.fingerprint() == before


def a_user_where_only_administrators_may_come(world: World, endpoint: Endpoint, _headers: Mapping[str, str]) -> None:
    if endpoint.auth == "admin":
        asked = attacks.good(endpoint).spoil("no administrator", refused=(403, "FORBIDDEN"))
        for visitor in (world.attacker, world.victim):
            assert_harmless(world, endpoint, [asked], world.signed_in(visitor))


def who_was_disabled_with_a_fresh_token(world: World, endpoint: Endpoint, _headers: Mapping[str, str]) -> None:
    if endpoint.auth in {"user", "admin"}:
        asked = attacks.good(endpoint).spoil("disabled", refused=UNAUTHORIZED)
        assert_harmless(world, endpoint, [asked], world.signed_in(world.disabled))


def a_refusal_in_the_readers_language(world: World, endpoint: Endpoint, headers: Mapping[str, str]) -> None:
    asked = attacks.good(endpoint).spoil("", query="surprise=1")
    answer = world.send(asked, headers={**headers, "Accept-Language": "en"})
    assert answer.status_code == 400
    assert answer.json()["message"] == "The input is not valid"
    assert answer.json()["details"][-1]["message"] == "This field is not known"
    assert answer.headers["Content-Language"] == "en"


WAYS: tuple[Way, ...] = (
    *(a_broken_body, a_broken_query, a_method_that_is_not_there, an_id_that_cannot_be_one),
    *(an_idempotency_key_that_cannot_be_kept, a_token_that_is_none, someone_elses_name_beside_the_own_token),
    *(a_user_where_only_administrators_may_come, who_was_disabled_with_a_fresh_token),
    a_refusal_in_the_readers_language,
)


@one_database
@every_endpoint
def test_whatever_is_wrong_is_refused(world: World, endpoint: Endpoint, subtests: pytest.Subtests) -> None:
    """All ways in one test: a test for each way and endpoint would cost more than what it asks."""
    headers = world.allowed(endpoint)
    for way in WAYS:
        with subtests.test(way.__name__):
            way(world, endpoint, headers)


# -- tokens, in full


@one_database
@those(few=True, auth=["user", "admin"])
def test_every_token_that_is_none(world: World, endpoint: Endpoint) -> None:
    assert_shut(world, endpoint, bad_tokens(world))


def assert_shut(world: World, endpoint: Endpoint, bad: Mapping[str, str]) -> None:
    """None of these tokens lets anybody in."""
    asked = attacks.good(endpoint)
    before = world.fingerprint()
    for name, value in bad.items():
        headers = {"Authorization": value} if value else {}
        answer = world.send(asked, headers=headers)
        assert_refused(answer, endpoint, asked.spoil(name, refused=UNAUTHORIZED))
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert world.fingerprint() == before


@one_database
@those(few=True, auth=["optional", "public"], method=["GET"])
def test_a_token_that_is_none_is_nobody_where_nobody_may_come(world: World, endpoint: Endpoint) -> None:
    asked = attacks.good(endpoint)
    expected = world.send(asked, headers={}).status_code
    for name, value in bad_tokens(world).items():
        assert world.send(asked, headers={"Authorization": value}).status_code == expected, name


# -- what belongs to someone else


@one_database
def test_every_place_of_a_path_is_somebodys_or_nobodys(world: World) -> None:
    places = {name for endpoint in routes.ENDPOINTS for name in endpoint.parameters}
    assert places <= world.foreign.keys() | OF_NOBODY


@those(auth=["user", "optional"])
def test_what_belongs_to_someone_else_is_as_if_it_were_not(world: World, endpoint: Endpoint) -> None:
    private = set(endpoint.parameters) & world.foreign.keys()
    if not private:
        return
    before = world.fingerprint()
    for name in private:
        code = f"{name.removesuffix('Id').upper()}_NOT_FOUND"
        refused = (404, code if code in endpoint.errors else "NOT_FOUND")
        asked = attacks.good(endpoint).spoil(f"foreign {name}", refused=refused)
        # Of two, the outer one is the attacker's own: others don't come as far as the inner one.
        for headers in _strangers(world, endpoint) if len(private) == 1 else [world.signed_in()]:
            foreign = world.send(asked, headers=headers, ids={name: world.foreign[name]})
            assert_refused(foreign, endpoint, asked)
            unknown = world.send(asked, headers=headers, ids={name: new_id()})
            assert _but_its_id(unknown.json()) == _but_its_id(foreign.json())
    assert world.fingerprint() == before


def _strangers(world: World, endpoint: Endpoint) -> Iterator[dict[str, str]]:
    """Who must not find what someone else has by this route."""
    route = (endpoint.method, endpoint.path)
    if route in OPEN:
        return
    yield world.signed_in()
    if route not in OPEN_TO_ADMINISTRATORS:
        yield world.signed_in(world.admin)
    if endpoint.auth == "optional":
        yield {}


def _but_its_id(problem: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in problem.items() if name != "requestId"}


def bad_tokens_for_every_door(world: World, good: str) -> dict[str, str]:
    """The Authorization headers that every endpoint is tried with."""
    unsigned, _, signature = good.rpartition(".")
    return {
        "nothing": "",
        "another signature": f"Bearer {unsigned}.{('B' if signature[0] == 'A' else 'A') + signature[1:]}",
        "of nobody": f"Bearer {world.token(world.attacker, sub=new_id())}",
    }


def bad_tokens(world: World) -> dict[str, str]:
    """Authorization headers that must not let anybody in."""
    good = world.token(world.attacker)
    head, _, signature = good.split(".")
    claims = jwt.decode(good, options={"verify_signature": False})
    other = json.dumps({**claims, "sub": world.victim}).encode()
    stolen = f"{head}.{base64.urlsafe_b64encode(other).decode().rstrip('=')}.{signature}"
    return {
        **bad_tokens_for_every_door(world, good),
        "no token": "Bearer",
        "garbage": "Bearer garbage",
        "an unknown API key": "Bearer atk_0000000000000000",
        "basic": "Basic YXR0YWNrZXI6cGFzc3dvcmQ=",
        "another subject": f"Bearer {stolen}",
        "no algorithm": f"Bearer {jwt.encode(claims, '', 'none', headers={'typ': 'at+jwt'})}",
        "another key": f"Bearer {jwt.encode(claims, SECRET[::-1], 'HS256', headers={'typ': 'at+jwt'})}",
        "another algorithm": f"Bearer {jwt.encode(claims, SECRET, 'HS384', headers={'typ': 'at+jwt'})}",
        "a path for a key": f"Bearer {world.named(good, '../../../dev/null')}",
        "an address for a key": f"Bearer {world.named(good, 'https://evil.example/jwks.json')}",
        "a key that is none of ours": f"Bearer {world.named(good, '0' * 16)}",
        "a key of many letters": f"Bearer {world.named(good, 'k' * 2_000)}",
        "no text for a key": f"Bearer {world.named(good, 7)}",
        "another type": f"Bearer {jwt.encode(claims, SECRET, 'HS256', headers={'typ': 'rt+jwt'})}",
        "expired": f"Bearer {world.token(world.attacker, exp=claims['iat'] - 60)}",
        "not yet": f"Bearer {world.token(world.attacker, nbf=claims['iat'] + 600)}",
        "for ever": f"Bearer {world.token(world.attacker, exp=None)}",
        "for others": f"Bearer {world.token(world.attacker, aud='other')}",
        "by others": f"Bearer {world.token(world.attacker, iss='other')}",
        "without a name": f"Bearer {world.token(world.attacker, jti=None)}",
        "of an older session": f"Bearer {world.token(world.attacker, ver=-1)}",
        "of a disabled user": f"Bearer {world.token(world.disabled)}",
        "endless": f"Bearer {'a' * 6_000}",
    }
