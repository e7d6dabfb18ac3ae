"""Running jobs."""

from atelier.contracts.messages import JobMessage
from tasks import runtime


def run(message: JobMessage) -> None:
    """Take one job as far as it goes in one attempt."""
    runtime.get().runner.run(message.job_id)
