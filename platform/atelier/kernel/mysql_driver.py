"""PyMySQL's connection, without a new TLS context for each, and quicker with what needs no escaping.

The driver encrypts where the server can, and makes a context for it that holds every authority of the system, although
it verifies nobody unless it is told whom. That takes twenty milliseconds of every connection, and is the same for all.

It also looks at every value of every row through five calls. Most values are numbers, NULL and ids, in which there is
nothing to escape: those are written down at once, all others by the driver itself.
"""

import re
import ssl
from typing import Any

from pymysql.connections import Connection  # type: ignore[import-untyped]  # the driver has no types
from typing_extensions import override

# What the driver escapes in a text, in either mode of the server.
_SPECIAL = re.compile("[\0\n\r\x1a\"'\\\\]")
_SHARED: dict[str, ssl.SSLContext] = {}


class DriverConnection(Connection):  # type: ignore[misc]  # the driver has no types
    """A connection to MariaDB or MySQL."""

    @override
    def escape(self, obj: object, mapping: Any = None) -> str:
        """The value as it stands in a statement."""
        if type(obj) is str and not _SPECIAL.search(obj):
            return f"'{obj}'"
        if type(obj) is int:
            return str(obj)
        if obj is None:
            return "NULL"
        escaped: Any = super().escape(obj, mapping)  # pyright: ignore[reportUnknownVariableType]  # no types
        return str(escaped)  # pyright: ignore[reportUnknownArgumentType]  # no types

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
