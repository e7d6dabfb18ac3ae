"""The schema's history, applied to any database address."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from atelier.kernel import engines


def upgrade(address: str) -> None:
    """Bring the schema to the newest version; does nothing when it is there already."""
    url = engines.parse(address)
    if url.get_backend_name() == "sqlite" and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    command.upgrade(_config(address), "head")


def differences(address: str) -> str:
    """What the models have that the schema lacks, as text; empty when they agree."""
    try:
        command.check(_config(address))
    except CommandError as error:
        return str(error)
    return ""


def revise(address: str, message: str) -> None:
    """Write the next version from the difference between models and schema (for developers)."""
    command.revision(_config(address), message, autogenerate=True)


def _config(address: str) -> Config:
    config = Config()
    config.set_main_option("script_location", "atelier:migrations")
    config.attributes["address"] = address
    return config
