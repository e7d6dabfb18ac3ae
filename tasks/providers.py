"""Testing providers."""

from atelier.contracts.messages import ProbeMessage
from tasks import runtime


def test(message: ProbeMessage) -> None:
    """Make one test call."""
    runtime.get().prober.test(message.probe_id)
