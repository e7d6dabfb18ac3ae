"""Emptying the bin of projects."""

from atelier.contracts.messages import Tick
from atelier.workshop import purging
from tasks import runtime


def purge(_tick: Tick) -> None:
    """Delete projects that have been in the bin for too long, and invitations that have expired."""
    purging.purge(runtime.get().database)
