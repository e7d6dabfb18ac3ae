"""What has to be in place before the first role starts."""

from typing import Final

from atelier.accounts import queries
from atelier.accounts.errors import UserExists
from atelier.cli import opened
from atelier.cli.keys import Login, kept_login
from atelier.cli.plan import Plan
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.onboarding import operator

ADMIN_EMAIL: Final = "admin@atelier.example"
ADMIN_NAME: Final = "admin"


def prepare(plan: Plan) -> Login | None:
    """Schema, catalogue, and on the embedded database somebody who can sign in; answers who."""
    opened.prepare(plan.settings)
    return _administrator(plan.settings) if plan.embedded_database else None


def _administrator(settings: Settings) -> Login | None:
    login = kept_login(settings.data_dir / "admin-login", name=ADMIN_EMAIL)
    database = Database(settings.database_url, pool_size=1)
    try:
        if database.read(queries.find, email_key=login.name) is None:
            operator.create_user(
                database,
                email=login.name,
                username=ADMIN_NAME,
                password=login.password,
                role="admin",
                amount=settings.welcome_bonus,
            )
    except UserExists:
        return None  # Somebody else has the name: then they can sign in.
    finally:
        database.close()
    return login
