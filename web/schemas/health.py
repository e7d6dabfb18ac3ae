"""Health."""

from typing import Literal

from pydantic import Field

from web.schemas.model import Answer


class HealthAnswer(Answer):
    """The process answers."""

    status: Literal["ok"] = "ok"
    timestamp: int = Field(description="milliseconds since the epoch")


class ReadyAnswer(HealthAnswer):
    """The process can serve. What is degraded costs comfort, no request."""

    degraded: list[str] = Field(default_factory=list[str], description="parts that fail without refusing requests")
