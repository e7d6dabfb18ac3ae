"""What a submission may cost: by the agent as it is now, or as it was promised in a quote."""

from dataclasses import dataclass
from typing import Any

from atelier.catalog import queries as catalog
from atelier.catalog import runtime
from atelier.catalog.runtime import RunnableAgent
from atelier.generation import quotes
from atelier.generation.errors import PriceAboveMax, QuoteInvalid
from web.routing import Call
from web.schemas.generate import Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """The version that will run, with what, and what that costs at most."""

    agent: RunnableAgent
    input_data: dict[str, Any]
    config: dict[str, Any]
    credits: int


def anew(agent: RunnableAgent, *, input_data: dict[str, Any], config: dict[str, Any] | None) -> Priced:
    """By the agent as it is now. Raises Invalid."""
    merged = runtime.validate(agent, input_data=input_data, config=config)
    price = runtime.price(agent, input_data=input_data, config=merged)
    return Priced(agent=agent, input_data=input_data, config=merged, credits=price.credits)


async def priced(call: Call, agent: RunnableAgent, body: Wanted) -> Priced:
    """By the quote that the body names, or else anew.

    Raises Invalid, QuoteInvalid, QuoteExpired, and PriceAboveMax when it may cost more than the user allows.
    """
    found = await _quoted(call, agent, body) if body.quote_id is not None else None
    if found is None:
        found = anew(agent, input_data=body.input_data, config=body.config)
    if body.max_credits is not None and found.credits > body.max_credits:
        raise PriceAboveMax(required=found.credits, max_credits=body.max_credits)
    return found


async def _quoted(call: Call, agent: RunnableAgent, body: Wanted) -> Priced:
    keyring = call.services.settings.keyring
    quote = quotes.read(keyring, body.quote_id or "", user_id=call.user.user_id, now_ms=call.now_ms)
    if quote.agent_id != agent.agent_id:
        raise quotes.mismatch("agentId")
    quote.require(input_data=body.input_data)
    version: RunnableAgent | None = agent
    if quote.version != agent.version:
        version = await call.services.db.read(catalog.version, agent_id=quote.agent_id, version=quote.version)
    if version is None:
        raise QuoteInvalid
    merged = runtime.validate(version, input_data=body.input_data, config=body.config)
    quote.require(config=merged)
    return Priced(agent=version, input_data=body.input_data, config=merged, credits=quote.credits)
