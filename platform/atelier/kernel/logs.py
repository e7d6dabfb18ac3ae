"""Structured logs: one JSON object a line, the ids of the request and the job bound once, secrets never.

Events are dotted facts (`job.settled job_id=… attempt=…`). Logs of aiohttp, Celery and SQLAlchemy join the same stream.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from atelier.kernel.settings import Settings

SECRET_NAMES = re.compile(
    r"(?i)(password|passwd|secret|token|authorization|api_?key|private_?key|cookie|sign(ature)?$|prompt|input_?data)"
)
SECRET_VALUES = re.compile(r"(?i)(bearer\s+\S+|atk_\w+|eyJ[\w-]+\.[\w-]+\.[\w-]*|://[^/\s:@]*:\S+@)")
HIDDEN = "[redacted]"


def get(name: str) -> Any:
    """A structlog logger; typed Any because its methods are made per level at run time."""
    return structlog.get_logger(name)


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace secrets by name, and anything that looks like one by shape."""
    for name, value in event.items():
        event[name] = _redacted(name, value)
    return event


def _redacted(name: str, value: Any) -> Any:
    kind = value.__class__
    if SECRET_NAMES.search(name):
        return HIDDEN
    if issubclass(kind, str):
        return SECRET_VALUES.sub(HIDDEN, value)
    if issubclass(kind, dict):
        return {key: _redacted(str(key), one) for key, one in value.items()}
    if issubclass(kind, list | tuple):
        return [_redacted("", one) for one in value]
    return value


def configure(settings: Settings, *, role: str) -> None:
    """Set up logging for this process. Call once, first."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
        redact,
    ]
    console = settings.log_format == "console"
    # Plain tracebacks: the pretty ones show local variables, which may be secrets.
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _with_role(role), renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    # Celery tells of every task twice; ours tell of what became of it, and Flower lists tasks. Failures are errors.
    quiet = (
        "alembic",
        "celery.app.trace",
        "celery.utils.functional",
        "celery.worker.strategy",
        "httpcore",
        "httpx",
        "kombu",
    )
    for noisy in quiet:
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _with_role(role: str) -> Any:
    def add(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["role"] = role
        return event

    return add
