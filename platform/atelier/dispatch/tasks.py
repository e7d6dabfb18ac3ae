"""Binding functions to contracts. A task is an ordinary function of one message."""

from collections.abc import Callable
from typing import Any, TypeVar

from celery import Celery
from celery.app.task import Task

from atelier.contracts.messages import Contract, Message
from atelier.kernel import logs
from atelier.kernel.errors import Refusal, Transient

M = TypeVar("M", bound=Message)
log = logs.get(__name__)


def bind(app: Celery, contract: Contract[M], function: Callable[[M], None]) -> "Task[Any, Any]":
    """Register `function` as the task of `contract`.

    A transient failure is only logged: whatever it was about is due again in the database, so the message has done
    its duty. Unknown arguments are ignored, so that a newer sender doesn't break this worker.
    """

    def run(message: dict[str, Any], **_newer: Any) -> None:
        try:
            function(contract.message.model_validate(message))
        except Transient as error:
            log.warning("task.transient", task=contract.name, code=error.code, error=str(error))
        except Refusal as error:
            log.warning("task.refused", task=contract.name, code=error.code, error=str(error))

    run.__name__ = contract.name.replace(".", "_")
    return app.task(name=contract.name, ignore_result=True)(run)
