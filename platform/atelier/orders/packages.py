"""Packages of credits: what they cost and give, in versions. Orders keep what they were when they were ordered."""

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from atelier.kernel import ids
from atelier.kernel.database import matched
from atelier.orders.errors import PackageNotFound
from atelier.orders.models import PACKAGES

P = PACKAGES.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an administrator decides about a package. `position` is its place among the others, the lowest first."""

    name_zh: str
    name_en: str
    price_fen: int
    credits: int
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Package(Terms):
    """A package as stored. One that is not `active` is not sold any more."""

    id: str
    version: int
    active: int
    created_ms: int
    updated_ms: int

    @property
    def item(self) -> dict[str, Any]:
        """What an order keeps of it."""
        return {
            "id": self.id,
            "version": self.version,
            "nameZh": self.name_zh,
            "nameEn": self.name_en,
            "priceFen": self.price_fen,
            "credits": self.credits,
        }


COLUMNS = tuple(P[name] for name in Package.__dataclass_fields__)


def listed(session: Session, *, retired: bool = False) -> list[Package]:
    """The packages in their order; with those that are not sold any more, if wanted."""
    found = select(*COLUMNS).order_by(P.position, P.id)
    rows = session.connection().execute(found if retired else found.where(P.active == 1))
    return [Package(**row) for row in rows.mappings()]


def on_sale(session: Session, *, package_id: str) -> Package:
    """A package that is sold. Raises PackageNotFound, also for what can't be an id."""
    package = _find(session, package_id) if ids.is_id(package_id) else None
    if package is None or not package.active:
        raise PackageNotFound(package_id)
    return package


def create(session: Session, terms: Terms, *, package_id: str, now_ms: int) -> Package:
    """A new package, its first version."""
    times = {"created_ms": now_ms, "updated_ms": now_ms}
    session.connection().execute(insert(PACKAGES).values(id=package_id, version=1, active=1, **asdict(terms), **times))
    return on_sale(session, package_id=package_id)


def find(session: Session, *, package_id: str) -> Package | None:
    """A package, sold or not."""
    return _find(session, package_id)


def held(session: Session, *, package_id: str) -> Package:
    """A package that is sold; nobody else changes it until this transaction has ended. Raises PackageNotFound."""
    package = _find(session, package_id, locked=True)
    if package is None or not package.active:
        raise PackageNotFound(package_id)
    return package


def change(session: Session, package: Package, terms: Terms, *, now_ms: int) -> Package:
    """Other terms for a package that the caller holds; a new version if it costs or gives something else."""
    same = (package.price_fen, package.credits) == (terms.price_fen, terms.credits)
    version = package.version if same else package.version + 1
    changed = update(PACKAGES).where(P.id == package.id)
    session.connection().execute(changed.values(**asdict(terms), version=version, updated_ms=now_ms))
    return on_sale(session, package_id=package.id)


def retire(session: Session, *, package_id: str, now_ms: int) -> bool:
    """Sell it no more; False when it isn't sold. Orders of it go on."""
    sold = update(PACKAGES).where(P.id == package_id, P.active == 1)
    return matched(session, sold.values(active=0, updated_ms=now_ms)) == 1


def _find(session: Session, package_id: str, *, locked: bool = False) -> Package | None:
    statement = select(*COLUMNS).where(P.id == package_id)
    row = session.connection().execute(statement.with_for_update() if locked else statement).mappings().one_or_none()
    return Package(**row) if row else None
