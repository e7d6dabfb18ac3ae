"""A worker's part: claim, generate, settle. Three steps, and no transaction is open in the middle one.

1. Claim: one conditional UPDATE. Who gets nothing has a duplicate message in hand and is done.
2. Generate: the provider works while the keeper renews the lease; results go to our own storage under the fence.
3. Settle: the final state and the credits in one transaction, if the fence still holds. A worker that lost its lease
   changes nothing.

What finishes later is only handed over in step 2 and parked in step 3: see `later` and `poller`.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import structlog

from atelier.catalog import purchases, runtime
from atelier.catalog import queries as catalog
from atelier.catalog.runtime import RunnableAgent
from atelier.contracts.queues import WORKFLOW
from atelier.generation import artifacts, outcomes, sources
from atelier.generation import attempt as attempts
from atelier.generation.attempt import Attempt
from atelier.generation.callbacks import Callbacks
from atelier.generation.closing import Closer
from atelier.generation.composing import Begun, Composer, Ways
from atelier.generation.events import job_event
from atelier.generation.health import Health
from atelier.generation.later import Parked, Submitter
from atelier.generation.leases import LeaseKeeper
from atelier.generation.outcomes import Outcome
from atelier.generation.owners import owner
from atelier.generation.story import WORKFLOWS
from atelier.generation.sweep import TOO_LATE
from atelier.generation.taking import Places, take
from atelier.generation.workflow import Workflow
from atelier.jobs import service as jobs
from atelier.jobs import states, upstream
from atelier.jobs.service import Claimed
from atelier.kernel import faults, logs
from atelier.kernel.batching import GATHER_SECONDS, Batcher
from atelier.kernel.clock import DAY_MS, SECOND_MS, now_ms
from atelier.kernel.database import Database
from atelier.kernel.errors import Refusal, Transient
from atelier.kernel.ids import new_id
from atelier.kernel.settings import Settings
from atelier.ledger.shares import Terms
from atelier.live.publisher import Publisher
from atelier.providers.contract import GenerationRequest, GenerationResult, Provider, Stopped
from atelier.providers.later import LaterProvider
from atelier.storage.port import Storage

AGENTS_KEPT = 256
log = logs.get(__name__)


class UnknownProvider(Refusal):
    """The agent names a provider that this worker doesn't have."""

    code: ClassVar[str] = "PROVIDER_UNKNOWN"


class Runner:
    """Runs jobs for the threads of one worker process. Make one per process, after any fork."""

    def __init__(
        self,
        *,
        settings: Settings,
        database: Database,
        publisher: Publisher,
        storage: Storage,
        providers: Mapping[str, Provider],
        later: Mapping[str, LaterProvider],
        name: str,
        workflows: Mapping[str, Workflow] = WORKFLOWS,
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._storage = storage
        self._providers = providers
        self._served = frozenset({*providers, *later, WORKFLOW})
        self._name = name
        self._backoff_ms = settings.backoff_ms
        self._platform_percent = settings.platform_share_percent
        self._versions_max = settings.project_versions_max
        self._result_days = settings.result_days
        self._lease_ms = settings.lease_seconds * SECOND_MS
        self._window = settings.user_window
        self._health = Health(database, window=self._window)
        self._keeper = LeaseKeeper(database, lease_ms=self._lease_ms)
        self._closer = Closer(
            database=database, publisher=publisher, republish_ms=settings.republish_seconds * SECOND_MS
        )
        calls = Callbacks(settings.public_url, settings.keyring) if settings.public_url else None
        self._submitter = Submitter(database=database, providers=later, calls=calls)
        self._claims: Batcher[str, Claimed | None] = Batcher(self._claim_group, gather_seconds=GATHER_SECONDS)
        # Versions are immutable, so what was read once stays right.
        self._agent = lru_cache(maxsize=AGENTS_KEPT)(self._load_agent)
        ways = Ways(agent=self._agent, completed=self._completed, close=self.close)
        self._composer = Composer(
            settings=settings, database=database, publisher=publisher, workflows=workflows, ways=ways
        )

    def run(self, job_id: str) -> None:
        """Take the next job of this one's queue as far as it goes in one attempt.

        Raises Transient when the database can't be reached.
        """
        claimed = self._claims.call(job_id)
        if claimed is None:
            log.info("job.not_claimed", job_id=job_id)
            return
        faults.point("worker.after_claim")
        with structlog.contextvars.bound_contextvars(job_id=claimed.id, attempt=claimed.attempts, fence=claimed.fence):
            attempt = Attempt(claimed, self._publisher.publish)
            with self._keeper.keeping(attempt):
                outcome = self._attempt(attempt)
                if outcome is None:
                    log.warning("job.lease_lost")
                elif isinstance(outcome, Parked):
                    self._submitter.park(attempt, outcome)
                elif not isinstance(outcome, Begun):
                    self._closer.close(attempt, outcome)

    def advance(self, job_id: str) -> None:
        """Go on with a job that is put together from others. Raises Transient when the database can't be reached."""
        self._composer.advance(job_id)

    def close(self, attempt: Attempt, outcome: Outcome) -> None:
        """Write down how a parked attempt ended, if its fence still holds."""
        self._closer.close(attempt, outcome)

    def completed(self, attempt: Attempt, result: GenerationResult) -> Outcome:
        """Keep what an attempt made as our own; what that makes of the job."""
        claimed = attempt.claimed
        kept = artifacts.keep(self._storage, result, folder=f"outputs/{claimed.id}/{claimed.fence}")
        faults.point("worker.after_upload")
        return self._completed(attempt, kept)

    def shut_down(self) -> None:
        """Give back everything that runs here, so that another worker goes on at once; no attempt is lost by it."""
        self._keeper.stop_all(attempts.SHUTDOWN)

    def _completed(self, attempt: Attempt, kept: Any) -> Outcome:
        claimed = attempt.claimed
        return outcomes.completed(
            attempt,
            kept,
            terms=self._terms(claimed),
            versions_max=self._versions_max,
            kept_ms=self._kept_ms(claimed),
        )

    def _attempt(self, attempt: Attempt) -> Outcome | Parked | Begun | None:
        claimed = attempt.claimed
        if claimed.cancel_requested:
            return outcomes.canceled(attempt)
        if claimed.deadline_ms <= claimed.claimed_ms:
            return outcomes.failed(attempt, TOO_LATE)
        begun = job_event("running", claimed.id, states.first_seq(claimed.fence), {})
        self._publisher.publish(claimed.user_id, [begun])
        outcome: Outcome | Parked | Begun | None
        try:
            outcome = self._generate(attempt)
            if isinstance(outcome, Parked) and outcome.submitted == upstream.UNKNOWN:
                self._health.unclear(claimed.provider, now_ms=now_ms())
            else:
                self._health.worked(claimed.provider, now_ms=now_ms())
        except Stopped:
            outcome = outcomes.stopped(attempt)
        except Transient as error:
            self._health.failed(claimed.provider, error)
            outcome = outcomes.unavailable(attempt, error, backoff_ms=self._backoff_ms)
        except Refusal as error:
            outcome = outcomes.failed(attempt, error.code, str(error))
        except Exception:
            log.exception("job.bug")
            outcome = outcomes.failed(attempt, outcomes.BUG)
        return outcome

    def _generate(self, attempt: Attempt) -> Outcome | Parked | Begun:
        agent = self._agent(attempt.claimed.agent_id, attempt.claimed.agent_version)
        if agent.provider == WORKFLOW:
            return self._composer.compose(attempt, agent)
        request = self._request(attempt.claimed, agent)
        if self._submitter.takes(agent.provider):
            return self._submitter.submit(attempt, request)
        provider = self._providers.get(agent.provider)
        if provider is None:
            raise UnknownProvider(agent.provider)
        faults.point("worker.before_provider")
        result = provider.run(request, attempt)
        attempt.flush()
        faults.point("worker.after_provider")
        return self.completed(attempt, result)

    def _request(self, claimed: Claimed, agent: RunnableAgent) -> GenerationRequest:
        return GenerationRequest(
            provider_key=jobs.provider_key(claimed.id),
            attempt=claimed.attempts,
            model=agent.model,
            prompt=runtime.render_prompt(agent, input_data=claimed.input),
            parameters=runtime.parameters(agent, input_data=claimed.input, config=claimed.config),
            timeout_seconds=max(1.0, (claimed.deadline_ms - claimed.claimed_ms) / SECOND_MS),
            sources=sources.read(self._storage, claimed),
        )

    def _terms(self, claimed: Claimed) -> Terms:
        agent = self._agent(claimed.agent_id, claimed.agent_version)
        return Terms(
            agent_id=agent.agent_id,
            creator_id=purchases.payee(agent.creator_id),
            platform_percent=self._platform_percent,
            transfer_id=new_id(),
        )

    def _kept_ms(self, claimed: Claimed) -> int:
        agent = self._agent(claimed.agent_id, claimed.agent_version)
        return (agent.result_days or self._result_days) * DAY_MS

    def _claim_group(self, job_ids: Sequence[str]) -> list[Claimed | None]:
        places = Places(
            owner=owner(self._name),
            lease_ms=self._lease_ms,
            window=self._window,
            providers=self._served,
        )
        taken = self._database.transact(
            take, asked=sorted(set(job_ids)), places=places, chosen=set[str](), now_ms=now_ms()
        )
        self._health.doubt(taken.doubted)
        free: list[Claimed | None] = [None] * (len(job_ids) - len(taken.claimed))
        return [*taken.claimed, *free]

    def _load_agent(self, agent_id: str, version: int) -> RunnableAgent:
        agent = self._database.read(catalog.version, agent_id=agent_id, version=version)
        if agent is None:
            message = f"agent {agent_id} has no version {version}"
            raise AssertionError(message)
        return agent
