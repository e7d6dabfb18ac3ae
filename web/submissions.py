"""What submitting needs beside the database: the intake, the agents, and this process's own relay.

`install` adds it to the application, handlers find it under SUBMISSIONS.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

from atelier.dispatch import broker
from atelier.dispatch.relay import Relay
from atelier.generation.events import credits_changed, job_event
from atelier.generation.submit import Accepted, Limits, Submission
from atelier.jobs import states
from atelier.kernel.clock import SECOND_MS
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.live.events import Event
from web.agents import Agents
from web.intake import Intake
from web.live.service import LIVE
from web.services import SERVICES

# Only a safeguard: the relay of a web process is woken after each commit, and the relay role looks all the time.
IDLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Submissions:
    """Made once per web process. `wake` has the relay look at once: there are new messages in the outbox."""

    intake: Intake
    agents: Agents
    wake: Callable[[], None]


SUBMISSIONS: web.AppKey[Submissions] = web.AppKey("submissions", Submissions)


def install(application: web.Application) -> None:
    """Make it a part of the application, after its live part: what was committed is told there."""

    async def serve(application: web.Application) -> AsyncIterator[None]:
        services, live = application[SERVICES], application[LIVE]
        relay = _relay(services.settings)
        mover = threading.Thread(target=relay.run, name="relay", daemon=True)
        if services.settings.web_relay:
            mover.start()

        def committed(group: Sequence[tuple[Submission, Accepted]]) -> None:
            relay.wake()
            live.tell(news(group))

        intake = Intake(services.db, limits=limits(services.settings), announce=committed)
        application[SUBMISSIONS] = Submissions(intake, Agents(services.db), relay.wake)
        yield
        await intake.close()
        relay.stop()
        if mover.is_alive():
            await asyncio.to_thread(mover.join, 5)

    application.cleanup_ctx.append(serve)


def _relay(settings: Settings) -> Relay:
    database = Database(settings.database_url, pool_size=1)
    return Relay(app=broker.build(settings), database=database, idle_seconds=IDLE_SECONDS)


def limits(settings: Settings) -> Limits:
    """What these settings say about submissions."""
    return Limits(
        waiting_max=settings.waiting_jobs_max,
        attempts_max=settings.attempts_max,
        republish_ms=settings.republish_seconds * SECOND_MS,
        versions_max=settings.project_versions_max,
    )


def news(group: Sequence[tuple[Submission, Accepted]]) -> list[tuple[str, Event]]:
    """What those who watch are told of submissions that are committed."""
    news: list[tuple[str, Event]] = []
    for one, accepted in group:
        news.append((one.user_id, job_event("pending", one.job_id, states.first_seq(0), {})))
        if accepted.account:
            news.append((one.user_id, credits_changed(accepted.account)))
    return news
