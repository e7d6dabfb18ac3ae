"""From what was raised to the one line that a person reads."""

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from atelier.cli.console import Bug, Stop
from atelier.cli.words import say
from atelier.kernel.errors import AtelierError, Invalid

_SENTENCES: Final[dict[str, Callable[[], str]]] = {
    "BAD_SETTINGS": lambda: say("The settings don't fit together", zh="配置有误"),
    "NOT_FOUND": lambda: say("Not found", zh="未找到"),
    "PROVIDER_WEIGHTS_UNAVAILABLE": lambda: say("The model could not be fetched", zh="无法获取模型"),
    "UNAVAILABLE": lambda: say("The database doesn't answer", zh="数据库没有响应"),
    "UNSUPPORTED_DATABASE": lambda: say("Unsupported database", zh="不支持的数据库"),
    "USER_EXISTS": lambda: say("There is a user with this address or name", zh="用户已存在"),
    "VALIDATION_FAILED": lambda: say("Not valid", zh="输入无效"),
}


def as_stop(error: Exception) -> Stop:
    """The end of the command that this error means."""
    if isinstance(error, Invalid):
        return Stop(*(_field(one) for one in error.fields))
    if isinstance(error, AtelierError):
        return Stop(_named(error))
    if isinstance(error, DBAPIError):
        return Stop(_joined(say("The database refused", zh="数据库出错"), _only_line(_driver_words(error))))
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return Stop(f"{where}{error.strerror or error}")
    if isinstance(error, SQLAlchemyError):
        return Stop(_joined(say("The database address can't be used", zh="数据库地址无法使用"), _only_line(error)))
    advice = say("ATELIER_LOG_LEVEL=debug shows where", zh="设置 ATELIER_LOG_LEVEL=debug 可查看位置")
    described = _joined(type(error).__name__, _only_line(error))
    return Bug(f"{say('This is a bug', zh='程序错误')}: {described} ({advice})")


def _driver_words(error: DBAPIError) -> object:
    """The last argument is the sentence; numbers come before it."""
    arguments: tuple[object, ...] = error.orig.args if error.orig else ()
    return arguments[-1] if arguments else error


def _named(error: AtelierError) -> str:
    sentence = _SENTENCES.get(error.code)
    detail = "" if str(error) == error.code else _only_line(error)
    return _joined(sentence() if sentence else error.code, detail)


def _field(one: dict[str, Any]) -> str:
    return f"{_SENTENCES['VALIDATION_FAILED']()}: {'.'.join(map(str, one['path']))}: {one['message']}"


def _joined(sentence: str, detail: str) -> str:
    return f"{sentence}: {detail}" if detail else sentence


def _only_line(error: object) -> str:
    return " ".join(str(error).split())
