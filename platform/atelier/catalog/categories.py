"""The shelves of the marketplace, as administrators arrange them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.catalog.errors import CategoryExists, CategoryInUse, CategoryNotFound
from atelier.catalog.models import AGENTS, CATEGORIES
from atelier.kernel.database import is_duplicate, matched

C = CATEGORIES.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """A category in both languages; `count` are its published agents."""

    id: str
    slug: str
    name_zh: str
    name_en: str
    color: str
    position: int
    count: int


def listed(session: Session) -> list[Shelf]:
    """Every category in its order."""
    published = (AGENTS.c.category_id == C.id) & (AGENTS.c.status == "published")
    count = select(func.count()).select_from(AGENTS).where(published).correlate(CATEGORIES).scalar_subquery()
    rows = session.connection().execute(select(CATEGORIES, count.label("count")).order_by(C.position, C.id))
    return [Shelf(**row) for row in rows.mappings()]


def create(session: Session, *, category_id: str, values: Mapping[str, Any]) -> None:
    """Add a category; `values` are its slug, name_zh, name_en, color and position. Raises CategoryExists."""
    same = select(C.id).where(C.id == category_id, C.slug == values["slug"])
    if session.connection().execute(same).first():
        return  # The transaction runs again after a commit that nobody answered.
    try:
        session.connection().execute(insert(CATEGORIES).values(id=category_id, **values))
    except IntegrityError as error:
        raise _named(error) from error


def change(session: Session, *, category_id: str, values: Mapping[str, Any]) -> None:
    """Change what is in `values`. Raises CategoryNotFound, CategoryExists."""
    try:
        if not matched(session, update(CATEGORIES).where(C.id == category_id).values(**values)):
            raise CategoryNotFound(category_id)
    except IntegrityError as error:
        raise _named(error) from error


def remove(session: Session, *, category_id: str) -> None:
    """Delete a category in which there is no agent, not even an archived one.

    One that the house brings with it comes back with the next start. Raises CategoryNotFound, CategoryInUse.
    """
    used = select(AGENTS.c.id).where(AGENTS.c.category_id == category_id).limit(1)
    if session.connection().execute(used).first():
        raise CategoryInUse(category_id)
    try:
        if not matched(session, delete(CATEGORIES).where(C.id == category_id)):
            raise CategoryNotFound(category_id)
    except IntegrityError as error:
        # An agent came into it at this moment: it holds on to the category by its foreign key.
        raise CategoryInUse(category_id) from error


def _named(error: IntegrityError) -> Exception:
    return CategoryExists() if is_duplicate(error) else error
