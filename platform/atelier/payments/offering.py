"""What administrators sell: packages are added, changed and retired, each with its reason, in the operation log."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.orm import Session

from atelier.accounts.sessions import Origin
from atelier.contracts import oplog
from atelier.orders import packages
from atelier.orders.errors import PackageNotFound
from atelier.orders.packages import Package, Terms

RESOURCE = "package"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Which administrator, from where, and why."""

    admin_id: str
    reason: str
    origin: Origin


def create(session: Session, terms: Terms, *, act: Act, package_id: str, now_ms: int) -> Package:
    """Sell something new."""
    if known := packages.find(session, package_id=package_id):
        return known  # The transaction runs again after a commit that nobody answered.
    made = packages.create(session, terms, package_id=package_id, now_ms=now_ms)
    _log(session, act, "ADMIN_PACKAGE_CREATE", package_id=package_id, details=asdict(terms), now_ms=now_ms)
    return made


def change(session: Session, terms: Terms, *, act: Act, package_id: str, now_ms: int) -> Package:
    """Sell it otherwise; what was ordered before costs and gives what it did. Raises PackageNotFound."""
    package = packages.held(session, package_id=package_id)
    before = {name: getattr(package, name) for name in asdict(terms)}
    if before == asdict(terms):
        return package
    changed = packages.change(session, package, terms, now_ms=now_ms)
    details = {"from": before, "to": asdict(terms), "version": changed.version}
    _log(session, act, "ADMIN_PACKAGE_UPDATE", package_id=package_id, details=details, now_ms=now_ms)
    return changed


def retire(session: Session, *, act: Act, package_id: str, now_ms: int) -> None:
    """Sell it no more; orders of it can be paid as long as any. Raises PackageNotFound."""
    if not packages.retire(session, package_id=package_id, now_ms=now_ms):
        raise PackageNotFound(package_id)
    _log(session, act, "ADMIN_PACKAGE_RETIRE", package_id=package_id, details={}, now_ms=now_ms)


def _log(session: Session, act: Act, action: str, *, package_id: str, details: Mapping[str, Any], now_ms: int) -> None:
    operation = oplog.Operation(
        action=action,
        user_id=act.admin_id,
        resource_type=RESOURCE,
        resource_id=package_id,
        details={**details, "reason": act.reason},
        address=act.origin.address,
        user_agent=act.origin.user_agent,
    )
    oplog.record(session, operation, now_ms=now_ms)
