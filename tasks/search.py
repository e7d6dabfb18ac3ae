"""Keeping the search in step."""

from atelier.catalog import search_upkeep
from atelier.contracts.messages import Tick
from atelier.kernel import logs
from tasks import runtime

log = logs.get(__name__)


def refresh(_tick: Tick) -> None:
    """Let what was counted since decide the order of what is found."""
    changed = search_upkeep.refresh(runtime.get().database)
    log.info("search.refreshed", agents=changed)
