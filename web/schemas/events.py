"""Live events on the wire: what a socket is told by its client, and tickets."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from web.schemas.model import Answer, Body, Query, QueryNumber, Timestamp, Uuid

TOKEN_CHARS_MAX = 4_096
After = Annotated[int | None, Field(ge=0, description="the last seq seen")]


class EventsQuery(Query):
    """Where to go on."""

    after: QueryNumber | None = Field(None, description="the last seq seen; Last-Event-ID says the same, and wins")


class TicketAnswer(Answer):
    """A ticket that opens one socket, once."""

    ticket: str
    expires_at: Timestamp


class AuthMessage(Body):
    """Who the socket is for. It has to be the first message; one of the two is needed."""

    type: Literal["auth"]
    token: str | None = Field(None, min_length=1, max_length=TOKEN_CHARS_MAX)
    ticket: str | None = Field(None, min_length=1, max_length=TOKEN_CHARS_MAX)


class SubscribeMessage(Body):
    """Follow one job after a number (without one: from its present state on), or everything of one's own.

    With `all`, any `after` asks for the newest finished jobs too, as someone needs who was away.
    """

    type: Literal["subscribe"]
    job_id: Uuid | None = None
    all: bool = False
    after: After = None


class UnsubscribeMessage(Body):
    """Follow it no longer."""

    type: Literal["unsubscribe"]
    job_id: Uuid | None = None
    all: bool = False


class PingMessage(Body):
    """Asks for a pong."""

    type: Literal["ping"]


Told = Annotated[AuthMessage | SubscribeMessage | UnsubscribeMessage | PingMessage, Field(discriminator="type")]
TOLD: TypeAdapter[AuthMessage | SubscribeMessage | UnsubscribeMessage | PingMessage] = TypeAdapter(Told)
