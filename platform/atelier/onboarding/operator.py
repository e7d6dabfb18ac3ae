"""What the operator does from the command line or by a setting: threads and processes, no event loop."""

import re

from atelier.accounts import passwords, queries, rules
from atelier.accounts.errors import UserExists
from atelier.accounts.signup import NewUser
from atelier.kernel import clock, ids, logs, tokens
from atelier.kernel.database import Database
from atelier.kernel.settings import Settings
from atelier.onboarding import registration

ROLES = ("user", "creator", "admin")
# Far below what a column of the ledger holds, so that nothing that is added later runs over.
AMOUNT_MAX = 1_000_000_000_000
log = logs.get("onboarding")


def create_user(
    database: Database, *, email: str, username: str, password: str, role: str = "user", amount: int = 0
) -> str:
    """Create a user whose address counts as verified, with exactly `amount` credits; answers the id.

    Raises Invalid for a bad address, name, password or role, and UserExists.
    """
    if role not in ROLES:
        raise rules.invalid("role", "enum", "no such role", expected=", ".join(ROLES))
    if amount < 0:
        raise rules.invalid("credits", "greater_than_equal", "at least 0", ge=0)
    if amount > AMOUNT_MAX:
        raise rules.invalid("credits", "less_than_equal", f"at most {AMOUNT_MAX}", le=AMOUNT_MAX)
    passwords.check_new(password)
    name = rules.username(username, reserved=False)
    return _appoint(database, address=rules.email(email), username=name, password=password, role=role, amount=amount)


def admit_whitelist(database: Database, *, settings: Settings) -> int:
    """Create the users of USER_WHITELIST that don't exist yet, each with the welcome bonus; answers how many.

    For development: settings refuse a whitelist in production. A user who exists is left as they are.
    """
    created = 0
    for entry in settings.user_whitelist:
        email, _, password = entry.partition(":")
        address = rules.email(email, field="USER_WHITELIST")
        if database.read(queries.find, email_key=address.key) is None:
            created += _admit(database, address=address, password=password, amount=settings.welcome_bonus)
    return created


def _admit(database: Database, *, address: rules.Address, password: str, amount: int) -> bool:
    local = re.sub(r"\W", "_", address.key.partition("@")[0], flags=re.ASCII)[:40]
    plain = local if len(local) >= 3 else f"{local}_user"
    for username in (plain, f"{plain}_{tokens.digest(address.key)[:6]}"):
        try:
            _appoint(database, address=address, username=username, password=password, role="user", amount=amount)
        except UserExists:
            continue  # the name is taken, or another process that starts now was faster
        return True
    return False


def _appoint(
    database: Database, *, address: rules.Address, username: str, password: str, role: str, amount: int
) -> str:
    new = NewUser(
        id=ids.new_id(),
        address=address,
        username=username,
        password_hash=passwords.hash_now(password),
        display_name=username,
        role=role,
        verified=True,
    )
    database.transact(registration.appoint, new=new, amount=amount, fresh=registration.Ids(), now_ms=clock.now_ms())
    log.info("account.appointed", user_id=new.id, role=role)
    return new.id
