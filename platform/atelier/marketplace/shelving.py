"""Arranging the categories, logged where it happens."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from atelier.catalog import categories
from atelier.marketplace import deciding
from atelier.marketplace.deciding import Judge

RESOURCE = "category"


def create(session: Session, *, judge: Judge, category_id: str, values: Mapping[str, Any], now_ms: int) -> None:
    """Add a category. Raises CategoryExists."""
    categories.create(session, category_id=category_id, values=values)
    _log(session, judge, "ADMIN_CATEGORY_CREATE", category_id=category_id, details=values, now_ms=now_ms)


def change(session: Session, *, judge: Judge, category_id: str, values: Mapping[str, Any], now_ms: int) -> None:
    """Change a category. Raises CategoryNotFound, CategoryExists."""
    categories.change(session, category_id=category_id, values=values)
    _log(session, judge, "ADMIN_CATEGORY_UPDATE", category_id=category_id, details=values, now_ms=now_ms)


def remove(session: Session, *, judge: Judge, category_id: str, now_ms: int) -> None:
    """Delete an empty category. Raises CategoryNotFound, CategoryInUse."""
    categories.remove(session, category_id=category_id)
    _log(session, judge, "ADMIN_CATEGORY_DELETE", category_id=category_id, details={}, now_ms=now_ms)


def _log(
    session: Session, judge: Judge, action: str, *, category_id: str, details: Mapping[str, Any], now_ms: int
) -> None:
    deciding.log(
        session,
        judge,
        action=action,
        resource_type=RESOURCE,
        resource_id=category_id,
        details=details,
        now_ms=now_ms,
    )
