"""The welcome bonus: once per e-mail address, whoever owns it and however often it is proved."""

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.kernel import tokens
from atelier.kernel.database import is_duplicate
from atelier.ledger import service as ledger


def give(session: Session, *, user_id: str, email_key: str, amount: int, transfer_id: str, now_ms: int) -> bool:
    """Post the bonus; False when this address has had it, or when there is none to give."""
    if amount == 0:
        return False
    entry = ledger.Entry(
        transfer_id=transfer_id,
        key=f"bonus:welcome:{tokens.digest(email_key)}",
        user_id=user_id,
        amount=amount,
        ref_type="user",
        ref_id=user_id,
    )
    try:
        with session.begin_nested():
            ledger.bonus(session, entry, now_ms=now_ms)
    except IntegrityError as error:
        if is_duplicate(error):
            return False
        raise
    return True
