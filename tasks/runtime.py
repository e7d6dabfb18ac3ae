"""What the tasks of one worker process share. Made at the first use, which is always after the fork."""

import os
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from atelier.callouts.poster import Poster
from atelier.correspondence.webhooks import Deliverer
from atelier.dispatch import broker
from atelier.dispatch.broker import Application
from atelier.files.intake import Intake
from atelier.gateways import choose
from atelier.gateways.port import Gateway
from atelier.generation.poller import Poller, Tools
from atelier.generation.prober import Prober
from atelier.generation.run import Runner
from atelier.generation.sweeper import Sweeper
from atelier.kernel import settings as settings_module
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.live.publisher import Publisher
from atelier.mail import links, mailers
from atelier.mail.mailers import Mailer
from atelier.providers import offers
from atelier.providers.kling.account import Account
from atelier.providers.later import Pace
from atelier.providers.registry import ProviderOptions, build_later, build_registry
from atelier.storage import stores
from atelier.storage.port import Storage


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything, composed."""

    settings: Settings
    database: Database
    publisher: Publisher
    storage: Storage
    intake: Intake
    runner: Runner
    poller: Poller
    prober: Prober
    sweeper: Sweeper
    mailer: Mailer
    deliverer: Deliverer
    gateways: Mapping[str, Gateway]


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process."""
    return settings_module.load()


@lru_cache(maxsize=1)
def celery() -> Application:
    """The Celery application of this process."""
    return broker.build(settings())


def provider_options(chosen: Settings) -> ProviderOptions:
    """What these settings say about providers."""
    return ProviderOptions(
        llm_base_url=chosen.llm_url,
        llm_api_key=chosen.llm_key.get_secret_value(),
        openai_base_url=chosen.openai_url,
        openai_api_key=chosen.openai_key.get_secret_value(),
        openai_models=offers.model_names(chosen.openai_models),
        openai_max_tokens_field=chosen.openai_max_tokens_field,
        kling=kling_account(chosen),
        development=chosen.environment == "development",
    )


def kling_account(chosen: Settings) -> Account | None:
    """The account at Kling, if there is one."""
    secret = chosen.kling_secret_key.get_secret_value()
    if not secret:
        return None
    first, least, most, late = chosen.kling_pace
    return Account(
        url=chosen.kling_url,
        access_key=chosen.kling_access_key,
        secret_key=secret,
        pace=Pace(first=first, least=least, most=most, late=late),
    )


def get() -> Runtime:
    """The runtime of this process, one however many threads ask for it first."""
    with _MAKING:
        return _made()


def made() -> Runtime | None:
    """The runtime, if a task has needed it already."""
    return _made() if _made.cache_info().currsize else None


_MAKING = threading.Lock()


@lru_cache(maxsize=1)
def _made() -> Runtime:
    chosen = settings()
    database = Database(chosen.database_url, pool_size=chosen.database_pool)
    publisher = Publisher(chosen.redis_url)
    storage = stores.choose(chosen)
    options = provider_options(chosen)
    providers, later = build_registry(options), build_later(options)
    runner = Runner(
        settings=chosen,
        database=database,
        publisher=publisher,
        storage=storage,
        providers=providers,
        later=later,
        name=f"{socket.gethostname()}:{os.getpid()}",
    )
    tools = Tools(settings=chosen, database=database, publisher=publisher, runner=runner)
    sweeper = Sweeper(settings=chosen, database=database, publisher=publisher)
    return Runtime(
        settings=chosen,
        database=database,
        publisher=publisher,
        storage=storage,
        intake=Intake.of(chosen),
        runner=runner,
        poller=Poller(tools, later),
        prober=Prober(database, providers=providers, later=later),
        sweeper=sweeper,
        mailer=mailers.choose(chosen),
        deliverer=Deliverer(
            database=database,
            publisher=publisher,
            poster=Poster(loopback=chosen.webhook_loopback),
            keyring=chosen.keyring,
            address=links.own(chosen),
            calls_max=chosen.slots_text // 4,
        ),
        gateways=choose.gateways_of(chosen),
    )
