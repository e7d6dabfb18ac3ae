"""The packages that a fresh installation sells. Ids are fixed, so that every installation has the same ones."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.kernel.database import Again, is_duplicate
from atelier.orders.models import PACKAGES
from atelier.orders.packages import Terms


def _id(number: int) -> str:
    return f"01990000-0000-7000-8000-0000000a{number:04x}"


OFFERED: Final[Mapping[str, Terms]] = {
    _id(1): Terms(name_zh="体验套餐", name_en="Starter", price_fen=990, credits=100, position=10),
    _id(2): Terms(name_zh="标准套餐", name_en="Standard", price_fen=4_900, credits=550, position=20),
    _id(3): Terms(name_zh="进阶套餐", name_en="Plus", price_fen=9_900, credits=1_200, position=30),
    _id(4): Terms(name_zh="专业套餐", name_en="Professional", price_fen=29_900, credits=4_000, position=40),
}


def seed(session: Session, *, now_ms: int) -> None:
    """Add the packages that are missing. What is there stays as administrators have made it, also what they retired."""
    known = set(session.connection().scalars(select(PACKAGES.c.id)))
    rows = [
        {
            "id": package_id,
            "version": 1,
            "name_zh": terms.name_zh,
            "name_en": terms.name_en,
            "price_fen": terms.price_fen,
            "credits": terms.credits,
            "active": 1,
            "position": terms.position,
            "created_ms": now_ms,
            "updated_ms": now_ms,
        }
        for package_id, terms in OFFERED.items()
        if package_id not in known
    ]
    try:
        if rows:
            session.connection().execute(insert(PACKAGES), rows)
    except IntegrityError as error:
        if is_duplicate(error):
            raise Again from error  # Another process is seeding too, and was first.
        raise
