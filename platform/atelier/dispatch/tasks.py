"""Binding functions to contracts. A task is an ordinary function of one message."""

from collections.abc import Callable
from typing import Any, TypeVar

from celery import Celery
from celery.app.task import Task
from pydantic import ValidationError
from pydantic_core import to_json

from atelier.contracts.dead_messages import Dead, Reason
from atelier.contracts.messages import Contract, Message
from atelier.kernel import logs
from atelier.kernel.errors import Refusal, Transient

M = TypeVar("M", bound=Message)
log = logs.get(__name__)


def bind(
    app: Celery, contract: Contract[M], function: Callable[[M], None], *, bury: Callable[[Dead], None]
) -> "Task[Any, Any]":
    """Register `function` as the task of `contract`.

    A transient failure is only logged: whatever it was about is due again in the database, so the message has done
    its duty. Unknown arguments are ignored, so that a newer sender doesn't break this worker. A message that can't be
    read, or over which the function dies, is given to `bury`.
    """

    def run(message: Any = None, **_newer: Any) -> None:
        try:
            read = contract.message.model_validate(message)
        except ValidationError as error:
            bury(_dead(contract, message, "unreadable", error))
            return
        try:
            function(read)
        except Transient as error:
            log.warning("task.transient", task=contract.name, code=error.code, error=str(error))
        except Refusal as error:
            log.warning("task.refused", task=contract.name, code=error.code, error=str(error))
        except Exception as error:
            bury(_dead(contract, message, "crashed", error))
            raise

    run.__name__ = contract.name.replace(".", "_")
    return app.task(name=contract.name, ignore_result=True)(run)


def _dead(contract: Contract[Any], message: Any, reason: Reason, error: Exception) -> Dead:
    text = to_json(message, fallback=repr).decode()
    return Dead(contract=contract.name, message=text, reason=reason, error=type(error).__name__)
