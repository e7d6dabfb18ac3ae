"""Filling a marketplace with agents that differ in what a test is about."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from atelier.catalog import seed_content, service
from atelier.catalog.models import AGENTS, CATEGORIES, PURCHASES

NOW = 1_760_000_000_000
CREATOR = "01990000-0000-7000-8000-00000000c001"


def ident(number: int) -> str:
    return f"01991111-0000-7000-8000-{number:012x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One agent of a test; `counters` are columns of its row."""

    number: int
    name: str = "Agent"
    description: str = "Something that can be described"
    tags: tuple[str, ...] = ()
    price_type: str = "free"
    base_price: int | None = None
    credits_per_use: int | None = None
    status: str = "published"
    category: str = "writing"
    creator_id: str = CREATOR
    created_ms: int = NOW
    counters: dict[str, int] = field(default_factory=dict[str, int])


def fill(session: Session, *, agents: list[Made]) -> None:
    """Publish these, in a marketplace with the house's categories and none of its agents."""
    connection = session.connection()
    houses = select(AGENTS.c.id).where(AGENTS.c.creator_id == seed_content.HOUSE_ID, AGENTS.c.status == "published")
    for agent_id in connection.scalars(houses).all():
        service.archive(session, agent_id=agent_id, now_ms=NOW)
    known = set(connection.scalars(select(CATEGORIES.c.id)))
    rows = [asdict(one) | {"position": place} for place, one in enumerate(seed_content.CATEGORIES)]
    if missing := [row for row in rows if row["id"] not in known]:
        connection.execute(insert(CATEGORIES), missing)
    for one in agents:
        _make(session, one)


def _make(session: Session, one: Made) -> None:
    category = next(each for each in seed_content.CATEGORIES if each.slug == one.category)
    shown = replace(
        seed_content.ECHO.shown,
        slug=f"agent-{one.number}",
        creator_id=one.creator_id,
        category_id=category.id,
        name=one.name,
        description=one.description,
        price_type=one.price_type,
        base_price=one.base_price,
        credits_per_use=one.credits_per_use,
    )
    content = replace(seed_content.ECHO.content, price_type=one.price_type, credits_per_use=one.credits_per_use)
    agent_id = ident(one.number)
    service.create(session, agent_id=agent_id, shown=shown, status="review", now_ms=one.created_ms)
    version = service.add_version(session, agent_id=agent_id, content=content, now_ms=one.created_ms)
    service.tag(
        session, agent_id=agent_id, tags={tag: ident(0x1000 + 100 * one.number + n) for n, tag in enumerate(one.tags)}
    )
    if one.status == "published":
        service.publish(session, agent_id=agent_id, version=version, now_ms=one.created_ms)
    elif one.status != "review":
        session.execute(update(AGENTS).where(AGENTS.c.id == agent_id).values(status=one.status))
    if one.counters:
        session.execute(update(AGENTS).where(AGENTS.c.id == agent_id).values(**one.counters))


def buy(session: Session, /, *, number: int, agent_id: str, **columns: Any) -> None:
    values = {"user_id": "reader", "active_slot": 1, "purchase_type": "subscription", "expires_ms": None, **columns}
    session.execute(PURCHASES.insert().values(id=ident(0xF000 + number), agent_id=agent_id, created_ms=NOW, **values))
