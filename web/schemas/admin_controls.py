"""Queues and providers as operators see them and hold them back."""

from typing import Any, Self

from pydantic import ConfigDict, Field

from atelier.generation.controlling import ProviderStanding, Standing, State
from atelier.generation.probing import Probe
from web.schemas.admin_jobs import WhyBody
from web.schemas.model import Answer, Timestamp

IN_FLIGHT_MAX = 100_000
PER_MINUTE_MAX = 1_000_000


class StandingAnswer(Answer):
    """A queue or a provider now."""

    name: str
    state: State = Field(
        description="paused: nothing starts, jobs are accepted and wait; draining: nothing new is accepted"
    )
    drained: bool = Field(description="draining, and nothing is left that waits or runs")
    reason: str | None = Field(description="why it was held back, or let go, last")
    changed_at: Timestamp | None
    waiting: int = Field(description="counted up to ten thousand")
    running: int = Field(description="counted up to ten thousand")

    @staticmethod
    def shown(standing: Standing) -> dict[str, Any]:
        """Its members."""
        control = standing.control
        return {
            "name": control.name,
            "state": control.state,
            "drained": standing.drained,
            "reason": control.reason,
            "changed_at": control.changed_ms or None,
            "waiting": standing.waiting,
            "running": standing.running,
        }


class QueueAnswer(StandingAnswer):
    """A queue."""

    @classmethod
    def of(cls, standing: Standing) -> Self:
        """The queue."""
        return cls.model_validate(cls.shown(standing))


class QueuesAnswer(Answer):
    """All queues of jobs."""

    queues: list[QueueAnswer]


class LimitsAnswer(Answer):
    """What a provider may be asked for; null is no limit."""

    in_flight_max: int | None
    per_minute: int | None
    burst: int


class BreakerAnswer(Answer):
    """Whether the platform leaves a provider alone by itself, and until when."""

    failures: int = Field(description="one after the other")
    suspect: bool = Field(description="one job at a time tries it, until one succeeds")
    closed_until: Timestamp | None = Field(description="nothing starts before")
    error_code: str | None = Field(description="why")


class ProbeAnswer(Answer):
    """A test of a provider."""

    id: str
    outcome: str | None = Field(description="null until a worker has made it, then ok or a code")
    took_ms: int | None
    asked_by: str
    created_at: Timestamp
    finished_at: Timestamp | None

    @classmethod
    def of(cls, probe: Probe) -> Self:
        """The test."""
        return cls(
            id=probe.id,
            outcome=probe.outcome,
            took_ms=probe.took_ms,
            asked_by=probe.asked_by,
            created_at=probe.created_ms,
            finished_at=probe.finished_ms,
        )


class ProviderAnswer(StandingAnswer):
    """A provider and its health."""

    limits: LimitsAnswer
    breaker: BreakerAnswer
    outcomes: dict[str, int] = Field(description="how the newest attempts of the last hour went, 2 000 of all at most")
    last_test: ProbeAnswer | None

    @classmethod
    def of(cls, standing: ProviderStanding) -> Self:
        """The provider."""
        control = standing.control
        closed_ms = control.closed_ms if control.closed_ms > standing.now_ms else None
        return cls.model_validate(
            cls.shown(standing)
            | {
                "limits": LimitsAnswer(
                    in_flight_max=control.in_flight_max, per_minute=control.per_minute, burst=control.burst
                ),
                "breaker": BreakerAnswer(
                    failures=control.failures,
                    suspect=control.is_suspect,
                    closed_until=closed_ms,
                    error_code=control.closed_code,
                ),
                "outcomes": dict(sorted(standing.outcomes.items())),
                "last_test": standing.probe and ProbeAnswer.of(standing.probe),
            }
        )


class ProvidersAnswer(Answer):
    """All providers of this installation, and those that were ever held back."""

    providers: list[ProviderAnswer]


class LimitsBody(WhyBody):
    """What a provider may be asked for from now on, and why; what is left out has no limit."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "服务商限流", "inFlightMax": 4, "perMinute": 60, "burst": 2}]}
    )

    in_flight_max: int | None = Field(None, ge=1, le=IN_FLIGHT_MAX, description="jobs that run at once")
    per_minute: int | None = Field(None, ge=1, le=PER_MINUTE_MAX, description="jobs that start in a minute")
    burst: int = Field(1, ge=1, le=IN_FLIGHT_MAX, description="how many of these may start at once")
