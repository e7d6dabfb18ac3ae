"""What a generation would cost."""

from atelier.catalog import runtime
from atelier.generation import quotes
from atelier.generation.quotes import Quote
from atelier.kernel.clock import SECOND_MS
from web.routing import Call, Endpoint
from web.schemas.quotes import PriceLine, QuoteAnswer, QuoteBody
from web.submissions import SUBMISSIONS


async def quote(call: Call) -> QuoteAnswer:
    """Check the request as a submission would be, and promise its price. Nothing is held and nothing is stored."""
    body: QuoteBody = call.body
    agent = await call.request.app[SUBMISSIONS].agents.usable(body.agent_id, call.user, now_ms=call.now_ms)
    config = runtime.validate(agent, input_data=body.input_data, config=body.config)
    price = runtime.price(agent, input_data=body.input_data, config=config)
    settings = call.services.settings
    promised = Quote(
        agent_id=agent.agent_id,
        version=agent.version,
        credits=price.credits,
        expires_ms=call.now_ms + settings.quote_seconds * SECOND_MS,
        input_digest=quotes.digest(body.input_data),
        config_digest=quotes.digest(config),
    )
    return QuoteAnswer(
        quote_id=quotes.issue(settings.keyring, promised, user_id=call.user.user_id),
        credits=price.credits,
        breakdown=[PriceLine.of(price)],
        expires_at=promised.expires_ms,
    )


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/api/workshop/quote",
        handler=quote,
        summary=("获取报价", "Ask for a price"),
        tag="jobs",
        body=QuoteBody,
        body_max=128 * 1024,
        answer=QuoteAnswer,
        errors=("AGENT_UNAVAILABLE",),
        scope="generate",
    ),
)
