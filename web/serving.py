"""The web role: it serves the API on host:port and /metrics on its own port until SIGTERM or SIGINT.

It then takes no new connection, lets running requests end, and leaves within `STOP_SECONDS`.
"""

import logging
import sys
from collections.abc import AsyncIterator, Callable

import uvloop
from aiohttp import web

from atelier.kernel import garbage, logs, open_files, settings
from atelier.kernel.settings import BadSettings, Settings
from web import faults, gauges, metrics
from web.app import make_app
from web.checkout import ASKED
from web.services import SERVICES
from web.uploads import UPLOADS
from web.webhooks import NOTICES

log = logs.get(__name__)

STOP_SECONDS = 10.0
KEEPALIVE_SECONDS = 75.0


def serve() -> None:
    """Serve until told to stop."""
    try:
        loaded = settings.load()
    except BadSettings as error:
        sys.exit(str(error))
    logs.configure(loaded, role="web")
    logging.getLogger("aiohttp.server").addFilter(faults.worth_logging)
    application = make_app(loaded)
    application.cleanup_ctx.append(_metrics_site(loaded))
    open_files.allow_many()
    garbage.settle()
    log.info("web.starting", host=loaded.host, port=loaded.port, environment=loaded.environment)
    web.run_app(
        application,
        host=loaded.host,
        port=loaded.port,
        access_log=None,
        print=None,
        keepalive_timeout=KEEPALIVE_SECONDS,
        shutdown_timeout=STOP_SECONDS,
        backlog=1024,
        loop=uvloop.new_event_loop(),
    )


def _metrics_site(loaded: Settings) -> Callable[[web.Application], AsyncIterator[None]]:
    async def site(application: web.Application) -> AsyncIterator[None]:
        figures = (application[UPLOADS].figures, application[NOTICES], application[ASKED])
        own = metrics.registry(application[metrics.REQUESTS], *figures)
        collect = gauges.reader(loaded, application[SERVICES].db)
        runner = web.AppRunner(metrics.scrape(own, collect=collect), access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, loaded.metrics_host, loaded.metrics_port).start()
        except OSError:  # Serving users matters more than being watched.
            log.exception("metrics.unavailable", port=loaded.metrics_port)
        yield
        await runner.cleanup()

    return site
