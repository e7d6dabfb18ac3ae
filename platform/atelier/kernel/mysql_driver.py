"""PyMySQL's connection, without a new TLS context for each.

The driver encrypts where the server can, and makes a context for it that holds every authority of the system, although
it verifies nobody unless it is told whom. That takes twenty milliseconds of every connection, and is the same for all.
"""

import ssl
from typing import Any

from pymysql.connections import Connection  # type: ignore[import-untyped]  # the driver has no types
from typing_extensions import override

_SHARED: dict[str, ssl.SSLContext] = {}


class DriverConnection(Connection):  # type: ignore[misc]  # the driver has no types
    """A connection to MariaDB or MySQL."""

    # The stubs of the driver leave this method out.
    @override
    def _create_ssl_ctx(self, sslp: Any) -> ssl.SSLContext:  # pyright: ignore[reportGeneralTypeIssues]
        if sslp:
            return self._made(sslp)
        if "any" not in _SHARED:
            _SHARED["any"] = self._made(sslp)
        return _SHARED["any"]

    def _made(self, sslp: Any) -> ssl.SSLContext:
        make: Any = getattr(super(), "_create_ssl_ctx")  # noqa: B009 - the stubs leave it out
        made: ssl.SSLContext = make(sslp)
        return made
