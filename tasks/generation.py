"""Running jobs, and looking at those that run elsewhere."""

from atelier.contracts.messages import JobMessage, Tick
from tasks import runtime
from tasks.alone import alone

ROUND_SECONDS = 300.0
"""Between two rounds nobody looks, until the next tick; a round that lasted for ever could not be seen to be well."""


def run(message: JobMessage) -> None:
    """Take one job as far as it goes in one attempt."""
    runtime.get().runner.run(message.job_id)


def advance(message: JobMessage) -> None:
    """Go on with a job that is put together from others."""
    runtime.get().runner.advance(message.job_id)


def poll(_tick: Tick) -> None:
    """Look at what providers finish later, for as long as there is anything; one round at a time on a machine."""
    with alone(runtime.settings().data_dir / "poller.lock") as mine:
        if mine:
            runtime.get().poller.round(seconds=ROUND_SECONDS)
