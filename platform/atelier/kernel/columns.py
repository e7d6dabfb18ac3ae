"""Column types that behave the same on SQLite, MariaDB and MySQL.

Ids and keys compare byte by byte: the servers' default collations ignore case, and `utf8mb4_bin` pads with spaces,
which would make `Key ` equal to `Key` on one database only. Binary-collated ASCII holds everything that is a key here.
"""

from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import BigInteger, Integer, String, Text, TypeDecorator, Unicode
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine
from typing_extensions import override

Millis = BigInteger
Serial = BigInteger().with_variant(Integer(), "sqlite")


def Id() -> TypeEngine[str]:  # noqa: N802 - reads as a column type
    """A UUID as text, or the fixed name of a system account: 36 ASCII characters."""
    return Key(36)


def Key(length: int) -> TypeEngine[str]:  # noqa: N802 - reads as a column type
    """A short ASCII key that compares byte by byte."""
    return String(length).with_variant(
        mysql.VARCHAR(length, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
    )


def Name(length: int) -> TypeEngine[str]:  # noqa: N802 - reads as a column type
    """A short text for people, any script; compared byte by byte, so that both databases agree."""
    return Unicode(length).with_variant(
        mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
    )


def LongText() -> TypeEngine[str]:  # noqa: N802 - reads as a column type
    """A text of up to 16 MB."""
    return Text().with_variant(mysql.MEDIUMTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")


class JsonDoc(TypeDecorator[Any]):
    """A JSON document kept as text: never searched, only carried."""

    impl = Text
    cache_ok = True

    @override
    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """MEDIUMTEXT where TEXT would end at 64 kB."""
        return dialect.type_descriptor(LongText())

    @override
    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Serialise; non-finite numbers are refused long before."""
        return None if value is None else to_json(value).decode()

    @override
    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Parse."""
        return None if value is None else from_json(value)
