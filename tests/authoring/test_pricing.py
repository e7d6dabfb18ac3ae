"""Metered prices: which an author may set, what a quote promises, and what a submission holds by either."""

import asyncio
import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.generation import quotes
from atelier.jobs.models import JOBS
from atelier.kernel.clock import now_ms
from atelier.kernel.ids import new_id
from atelier.ledger import service as ledger
from atelier.ledger.service import Entry
from tests.authoring.conftest import WRITING, Got, Json, Studio, agent_body
from tests.live.harness import Person

METER: Json = {"unit": "thousand_characters", "credits": 3, "minimum": 4, "maximum": 30, "quantity": "inputData.prompt"}
ECHO: Json = {
    "outputTypes": ["text"],
    "categoryId": WRITING,
    "creditsPerUse": None,
    "pricing": METER,
    "runtime": {"provider": "echo"},
}
COUNTED = {"type": "object", "properties": {"n": {"type": "integer"}, "size": {"type": "string"}}}
one_engine = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


# -- what an author may set


async def test_a_metered_agent_costs_its_maximum_to_whoever_knows_no_meters(studio: Studio, creator: Person) -> None:
    agent = await studio.publish(creator, **ECHO)
    assert agent["pricing"] == METER
    assert (agent["priceType"], agent["creditsPerUse"]) == ("pay_per_use", 30)
    (listed,) = (await studio.ask("GET", f"/api/agents?creator={creator.id}")).body["agents"]
    assert (listed["creditsPerUse"], "pricing" in listed) == (30, False)


async def test_another_meter_waits_for_its_review_like_any_change(studio: Studio, creator: Person) -> None:
    agent = await studio.publish(creator, **ECHO)
    mine = await studio.read(agent["id"], who=creator)
    dearer = {**METER, "credits": 9, "minimum": 0}
    changed = await studio.change(creator, mine, **{**ECHO, "pricing": dearer})
    assert (changed.status, changed.body["pricing"]) == (200, METER)
    assert changed.body["draft"]["definition"]["pricing"] == dearer
    await studio.approve(agent["id"])
    assert (await studio.read(agent["id"]))["pricing"] == dearer
    mine = await studio.read(agent["id"], who=creator)
    same = await studio.change(creator, mine, **{**ECHO, "pricing": dearer, "creditsPerUse": 30})
    assert same.body["draft"] is None, "what is read may be sent back"
    fixed = await studio.change(creator, mine, **{**ECHO, "pricing": {"unit": "fixed"}, "creditsPerUse": 7})
    definition = fixed.body["draft"]["definition"]
    assert (definition["pricing"], definition["creditsPerUse"]) == (None, 7)


IMAGE: Json = {"unit": "image", "credits": 3, "maximum": 30}
WRONG: tuple[tuple[Json, dict[str, str]], ...] = (
    ({"pricing": {**IMAGE, "unit": "smell"}}, {"pricing.unit": "literal_error"}),
    ({"pricing": {**IMAGE, "credits": 0}}, {"pricing.credits": "greater_than_equal"}),
    ({"pricing": {**IMAGE, "credits": 1.5}}, {"pricing.credits": "int_type"}),
    ({"pricing": {**IMAGE, "credits": "3"}}, {"pricing.credits": "int_type"}),
    ({"pricing": {**IMAGE, "minimum": -1}}, {"pricing.minimum": "greater_than_equal"}),
    ({"pricing": {**IMAGE, "maximum": 10**9}}, {"pricing.maximum": "less_than_equal"}),
    ({"pricing": {**IMAGE, "quantity": "n"}}, {"pricing.quantity": "string_pattern_mismatch"}),
    ({"pricing": {**IMAGE, "surprise": 1}}, {"pricing.surprise": "extra_forbidden"}),
    (
        {"pricing": {"unit": "image"}},
        {"pricing.credits": "price_required", "pricing.maximum": "pricing_maximum_required"},
    ),
    ({"pricing": {**IMAGE, "credits": 31}}, {"pricing.maximum": "greater_than_equal"}),
    ({"pricing": {**IMAGE, "minimum": 31}}, {"pricing.maximum": "greater_than_equal"}),
    ({"pricing": IMAGE, "creditsPerUse": 6}, {"creditsPerUse": "pricing_is_metered"}),
    ({"pricing": IMAGE, "creditsPerUse": 30}, {}),
    ({"pricing": IMAGE, "priceType": "free"}, {"pricing.unit": "pricing_per_use_only"}),
    ({"pricing": IMAGE, "basePrice": 5}, {"basePrice": "price_unused"}),
    (
        {"pricing": IMAGE, "priceType": "subscription", "basePrice": 5, "creditsPerUse": 3},
        {"creditsPerUse": "price_unused", "pricing.unit": "pricing_per_use_only"},
    ),
    ({"pricing": {"unit": "fixed", "credits": 3}, "creditsPerUse": 3}, {"pricing.credits": "price_unused"}),
    ({"pricing": {"unit": "fixed"}, "creditsPerUse": 3}, {}),
    ({"pricing": {"model": "fixed"}, "creditsPerUse": 3}, {}),
    ({"pricing": {"unit": "fixed"}}, {"creditsPerUse": "price_required"}),
    ({"pricing": {**IMAGE, "unit": "second"}}, {"pricing.unit": "pricing_unit_mismatch"}),
    ({"pricing": {**IMAGE, "unit": "thousand_characters"}}, {"pricing.unit": "pricing_unit_mismatch"}),
    ({"pricing": {**METER}}, {}),
    ({"pricing": {**METER, "quantity": "config.title"}}, {"pricing.quantity": "pricing_quantity_unknown"}),
    ({"pricing": {**METER, "quantity": "inputData.words"}}, {"pricing.quantity": "pricing_quantity_unknown"}),
    ({"pricing": {**IMAGE, "quantity": "config.n"}}, {"pricing.quantity": "pricing_quantity_unknown"}),
    ({"pricing": {**IMAGE, "quantity": "config.n"}, "configSchema": COUNTED}, {}),
    (
        {"pricing": {**IMAGE, "quantity": "config.size"}, "configSchema": COUNTED},
        {"pricing.quantity": "pricing_quantity_type"},
    ),
    ({"pricing": {**IMAGE, "quantity": "inputData.prompt"}}, {"pricing.quantity": "pricing_quantity_type"}),
)


@one_engine
async def test_whatever_is_wrong_with_a_meter_is_named(studio: Studio, creator: Person) -> None:
    for changes, expected in WRONG:
        got = await studio.ask("POST", "/api/agents", agent_body(**{"creditsPerUse": None, **changes}), who=creator)
        found = {} if got.status == 201 else got.wrong
        assert found == expected, changes


@one_engine
async def test_both_languages_say_what_is_wrong(studio: Studio, creator: Person) -> None:
    body = agent_body(creditsPerUse=None, pricing={"unit": "image", "credits": 1})
    said = [
        (await studio.ask("POST", "/api/agents", body, who=creator, Accept_Language=one)).body["details"][0]["message"]
        for one in ("zh", "en")
    ]
    assert said == ["按量计价必须设定上限", "A metered price needs a maximum"]


# -- what a quote promises


def rich(studio: Studio, person: Person, *, credits: int = 100) -> None:  # noqa: A002 - the product's word
    """The person has credits."""
    entry = Entry(transfer_id=new_id(), key=f"topup:test:{new_id()}", user_id=person.id, amount=credits)
    studio.db.transact(ledger.topup, entry, now_ms=now_ms())


def wish(agent: Json, prompt: str = "字" * 1_001, **more: Any) -> Json:
    """What is asked for."""
    return {"agentId": agent["id"], "inputData": {"prompt": prompt}, **more}


async def quote(studio: Studio, who: Person, body: Json) -> Json:
    """A quote."""
    got = await studio.ask("POST", "/api/workshop/quote", body, who=who)
    assert got.status == 200, got.body
    found: Json = got.body
    return found


async def submit(studio: Studio, who: Person, body: Json) -> Got:
    """Submit, whatever comes of it."""
    return await studio.ask("POST", "/api/workshop/generate", body, who=who)


def _job(session: Session, *, job_id: str) -> Json:
    return dict(session.execute(select(JOBS).where(JOBS.c.id == job_id)).mappings().one())


async def test_a_quote_says_what_it_may_cost_and_why(studio: Studio, creator: Person, reader: Person) -> None:
    agent = await studio.publish(creator, **ECHO)
    told = await quote(studio, reader, wish(agent))
    assert told.keys() == {"success", "quoteId", "credits", "breakdown", "expiresAt"}
    line = {"unit": "thousand_characters", "quantity": 2, "creditsPerUnit": 3, "credits": 6, "limitedBy": None}
    assert (told["credits"], told["breakdown"]) == (6, [line])
    least = await quote(studio, reader, wish(agent, "短"))
    assert (least["credits"], least["breakdown"][0]["limitedBy"]) == (4, "minimum")
    refused = await studio.ask("POST", "/api/workshop/quote", wish(agent, config={"steps": 0}), who=reader)
    assert refused.wrong == {"config.steps": "greater_than_equal"}
    fixed = await studio.publish(creator, name="固定价格")
    (line,) = (await quote(studio, reader, wish(fixed, "短")))["breakdown"]
    assert line == {"unit": "fixed", "quantity": 1, "creditsPerUnit": 6, "credits": 6, "limitedBy": None}
    assert (await studio.ask("POST", "/api/workshop/quote", wish({"id": new_id()}), who=reader)).status == 404
    assert (await studio.ask("POST", "/api/workshop/quote", wish(agent))).status == 401


async def test_a_quote_is_honoured_whatever_the_agent_costs_since(
    studio: Studio, creator: Person, reader: Person
) -> None:
    agent = await studio.publish(creator, **ECHO)
    rich(studio, reader)
    told = await quote(studio, reader, wish(agent))
    mine = await studio.read(agent["id"], who=creator)
    await studio.change(creator, mine, **{**ECHO, "pricing": {**METER, "credits": 10}})
    await studio.approve(agent["id"])
    now = await quote(studio, reader, wish(agent))
    assert now["credits"] == 20
    promised = await submit(studio, reader, wish(agent, quoteId=told["quoteId"], maxCredits=6))
    assert (promised.status, promised.body["credits"]) == (202, {"held": 6})
    job = studio.db.read(_job, job_id=promised.body["jobId"])
    assert (job["agent_version"], job["held"], job["pricing"]) == (1, 6, METER)
    anew = await submit(studio, reader, wish(agent))
    job = studio.db.read(_job, job_id=anew.body["jobId"])
    assert (job["agent_version"], job["held"], job["pricing"]["credits"]) == (2, 20, 10)


async def test_a_canceled_job_is_tried_again_at_the_price_of_now(
    studio: Studio, creator: Person, reader: Person
) -> None:
    agent = await studio.publish(creator, **ECHO)
    rich(studio, reader)
    told = await quote(studio, reader, wish(agent))
    job_id = (await submit(studio, reader, wish(agent, quoteId=told["quoteId"]))).body["jobId"]
    assert (await studio.ask("POST", f"/api/jobs/{job_id}/cancel", who=reader)).status == 200
    mine = await studio.read(agent["id"], who=creator)
    await studio.change(creator, mine, **{**ECHO, "pricing": {**METER, "credits": 10}})
    await studio.approve(agent["id"])
    again = await studio.ask("POST", f"/api/jobs/{job_id}/retry", who=reader)
    assert (again.status, again.body["credits"]) == (202, {"held": 20})


async def test_more_than_the_user_allows_is_refused_and_nothing_held(
    studio: Studio, creator: Person, reader: Person
) -> None:
    agent = await studio.publish(creator, **ECHO)
    rich(studio, reader)
    refused = await submit(studio, reader, wish(agent, maxCredits=5))
    assert (refused.status, refused.body["code"]) == (400, "PRICE_ABOVE_MAX")
    assert (refused.body["required"], refused.body["maxCredits"]) == (6, 5)
    balance = await studio.ask("GET", "/api/payments/credits/balance", who=reader)
    assert balance.body == {"balance": 100, "held": 0, "available": 100}
    assert (await submit(studio, reader, wish(agent, maxCredits=6))).body["credits"] == {"held": 6}
    for wrong, code in ((-1, "greater_than_equal"), (1.5, "int_type"), (2**31, "less_than_equal")):
        assert (await submit(studio, reader, wish(agent, maxCredits=wrong))).wrong == {"maxCredits": code}


async def test_a_quote_holds_for_what_it_was_made_for_and_for_nobody_else(
    studio: Studio, creator: Person, reader: Person
) -> None:
    agent = await studio.publish(creator, **ECHO)
    other = await studio.publish(creator, **{**ECHO, "name": "另一个"})
    rich(studio, reader)
    rich(studio, creator)
    quote_id = (await quote(studio, reader, wish(agent, config={"delayMs": 5})))["quoteId"]
    bound: Json = {"quoteId": quote_id, "config": {"delayMs": 5}}
    for body, field in (
        (wish(other, **bound), "agentId"),
        (wish(agent, "别的", **bound), "inputData"),
        (wish(agent, quoteId=quote_id, config={"delayMs": 6}), "config"),
        (wish(agent, quoteId=quote_id), "config"),
    ):
        assert (await submit(studio, reader, body)).wrong == {field: "quote_mismatch"}
    stolen = await submit(studio, creator, wish(agent, **bound))
    assert (stolen.status, stolen.body["code"]) == (400, "QUOTE_INVALID")
    # What the agent's own defaults say need not be said, and the order of members is nobody's business.
    whole: Json = {"steps": 1, "delayMs": 5}
    assert (await submit(studio, reader, wish(agent, quoteId=quote_id, config=whole))).status == 202


async def test_nobody_makes_a_quote_but_us(studio: Studio, creator: Person, reader: Person) -> None:
    agent = await studio.publish(creator, **ECHO)
    rich(studio, reader)
    quote_id: str = (await quote(studio, reader, wish(agent)))["quoteId"]
    payload, _, signature = quote_id.partition(".")
    said = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert 6 in said
    cheaper = json.dumps([1 if one == 6 else one for one in said], separators=(",", ":")).encode()
    changed = base64.urlsafe_b64encode(cheaper).decode().rstrip("=")
    forged = ("", ".", "x", f"{changed}.{signature}", f"{payload}.", payload, f"{quote_id}A", f"松{quote_id}", "\x00")
    for one in forged:
        got = await submit(studio, reader, wish(agent, quoteId=one))
        assert (got.status, got.body["code"]) == (400, "QUOTE_INVALID"), one
    assert (await submit(studio, reader, wish(agent, quoteId="x" * 1_001))).wrong == {"quoteId": "string_too_long"}
    assert (await submit(studio, reader, wish(agent, quoteId=quote_id))).status == 202


async def test_a_quote_that_is_over_is_told_apart_from_one_that_never_was(
    studio: Studio, creator: Person, reader: Person
) -> None:
    agent = await studio.publish(creator, **ECHO)
    rich(studio, reader)
    keyring = studio.world.settings.keyring
    told = await quote(studio, reader, wish(agent))
    quoted = quotes.read(keyring, told["quoteId"], user_id=reader.id, now_ms=0)
    assert 590_000 < quoted.expires_ms - now_ms() <= 600_000
    over = quotes.issue(keyring, replace(quoted, expires_ms=now_ms() - 1), user_id=reader.id)
    refused = await submit(studio, reader, wish(agent, quoteId=over))
    assert (refused.status, refused.body["code"]) == (400, "QUOTE_EXPIRED")


async def test_an_answer_that_was_given_is_given_again_after_its_quote(
    studio: Studio, creator: Person, reader: Person
) -> None:
    agent = await studio.publish(creator, **ECHO)
    rich(studio, reader)
    body = wish(agent, quoteId=(await quote(studio, reader, wish(agent)))["quoteId"])
    asked = [studio.ask("POST", "/api/workshop/generate", body, who=reader, Idempotency_Key="q") for _ in range(2)]
    answers = await asyncio.gather(*asked)
    assert {answer.status for answer in answers} <= {202, 409}
    again = await studio.ask("POST", "/api/workshop/generate", body, who=reader, Idempotency_Key="q")
    assert again.headers["Idempotency-Replayed"] == "true"
    balance = await studio.ask("GET", "/api/payments/credits/balance", who=reader)
    assert balance.body["held"] == 6
