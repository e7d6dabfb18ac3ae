"""What worker processes learn of providers: whether they have room, and whether they work.

Kept in the database, so that all workers leave a provider alone that one of them found closed. What gets lost, because
a worker is killed or can't reach the database before it could tell, is learnt again by the next call: what an attempt
made is worth more.
"""

from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from atelier.generation import outcomes, taking
from atelier.jobs import controls
from atelier.jobs.lane_models import PROVIDER
from atelier.jobs.picking import Later
from atelier.kernel import logs
from atelier.kernel.database import Database
from atelier.kernel.errors import Transient
from atelier.providers.contract import ProviderUnavailable
from atelier.providers.errors import Throttled

log = logs.get(__name__)


class Health:
    """The providers as one process knows them."""

    def __init__(self, database: Database, *, window: int) -> None:
        self._database = database
        self._window = window
        self._doubted: set[str] = set()

    def doubt(self, providers: frozenset[str]) -> None:
        """These have failed lately."""
        self._doubted |= providers

    def failed(self, provider: str, error: Transient) -> None:
        """An attempt could not be served."""
        with _as_far_as_possible(provider):
            if isinstance(error, Throttled):
                wait_ms = outcomes.patience_ms(error)
                self._database.transact(controls.cool, provider=provider, wait_ms=wait_ms, code=error.code)
                log.info("provider.cooling", provider=provider, wait_ms=wait_ms)
            elif isinstance(error, ProviderUnavailable) and error.blames_provider:
                self._doubted.add(provider)
                self._database.transact(controls.failed, provider=provider, code=error.code)

    def unclear(self, provider: str, *, now_ms: int) -> None:
        """Nobody can say whether the provider has taken a job, which is parked until somebody can."""
        with _as_far_as_possible(provider):
            self._doubted.add(provider)
            self._database.transact(_unclear, provider=provider, now_ms=now_ms)

    def worked(self, provider: str, *, now_ms: int) -> None:
        """The provider has served an attempt."""
        if provider in self._doubted:
            with _as_far_as_possible(provider):
                self._database.transact(_trusted, provider=provider, window=self._window, now_ms=now_ms)
                self._doubted.discard(provider)


@contextmanager
def _as_far_as_possible(provider: str) -> Generator[None]:
    try:
        yield
    except Transient as error:
        log.warning("provider.not_told", provider=provider, error_code=error.code)


def _unclear(session: Session, *, provider: str, now_ms: int) -> None:
    controls.failed(session, provider=provider, code=ProviderUnavailable.code)
    if rest_ms := controls.rest_ms(session, provider=provider):
        # A job that fails comes back by itself, and is told when to come again; one that is parked does not.
        waiting = controls.invitations(session, kind=PROVIDER, name=provider, window=1)[:1]
        later = [Later(queue=queue, job_id=job_id, wait_ms=rest_ms) for queue, job_id in waiting]
        taking.invite(session, later, now_ms=now_ms)


def _trusted(session: Session, *, provider: str, window: int, now_ms: int) -> None:
    if controls.succeeded(session, provider=provider):
        taking.send_for(session, kind=PROVIDER, name=provider, window=window, now_ms=now_ms)
