"""TCP ports of this machine."""

import errno
import socket
from typing import Final

from atelier.cli.console import Unusable
from atelier.cli.words import say

LOOPBACK: Final = "127.0.0.1"
_GIVEN: Final[set[int]] = set()
_OWN: Final = {"": LOOPBACK, "0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104 - compared and never listened on
"""How this machine reaches what listens on every address of a family: on `::` it is IPv6 alone."""


def free(host: str = LOOPBACK) -> int:
    """A port that nobody uses now, and another one each time."""
    while True:
        with _listener(host, 0) as listener:
            port: int = listener.getsockname()[1]
        if port not in _GIVEN:
            _GIVEN.add(port)
            return port


def check(host: str, port: int) -> int:
    """The port, or any free one for 0. Raises Unusable when it can't be had."""
    try:
        if port == 0:
            return free(host)
        _listener(host, port).close()
        return port
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = say(
                f"Port {port} is in use: choose another one with --port, or stop what listens there",
                zh=f"端口 {port} 已被占用：请用 --port 换一个，或停止占用它的程序",
            )
        else:
            why = error.strerror or str(error)
            reason = say(f"Can't listen on {host} port {port}: {why}", zh=f"无法监听 {host} 端口 {port}：{why}")
        raise Unusable(reason) from error


def is_free(host: str, port: int) -> bool:
    """Whether nobody listens there."""
    try:
        _listener(host, port).close()
    except OSError:
        return False
    return True


def address(host: str, port: int) -> str:
    """The web address under which this machine reaches a server that listens there."""
    name = _OWN.get(host, host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)
