"""What administrators are refused."""

from typing import ClassVar

from atelier.kernel.errors import Conflict


class OwnAccount(Conflict):
    """Nobody disables themselves or takes their own role away: someone else has to do it."""

    code: ClassVar[str] = "OWN_ACCOUNT"
