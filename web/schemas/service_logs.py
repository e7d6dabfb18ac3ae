"""Logs of the credits service's clients."""

from pydantic import ConfigDict, Field

from atelier.contracts.client_log import ACTION_MAX
from web.schemas.model import Answer, Body, JsonObject, Line, Moment


class ClientLogBody(Body):
    """What a client tells about itself."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "userId": "me@example.com",
                    "action": "jimeng_video_generation",
                    "details": {"cost": 5},
                    "success": True,
                    "timestamp": "2026-01-01T00:00:00Z",
                }
            ]
        }
    )

    user_id: Line = Field(min_length=1, max_length=254, description="the caller's own id or e-mail address")
    action: str = Field(min_length=1, max_length=ACTION_MAX, pattern=r"^[A-Za-z0-9_.:-]+$")
    details: JsonObject = Field(default_factory=dict, description="at most 16 kB as JSON")
    success: bool = True
    timestamp: Moment | None = Field(None, description="by the client's clock")


class ClientLogAnswer(Answer):
    """The log is kept."""

    log_id: str
