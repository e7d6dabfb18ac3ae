"""Making an agent's rows say what a definition says."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atelier.catalog import listing, service, slugs
from atelier.catalog.definition import Definition
from atelier.catalog.errors import AgentNotFound
from atelier.catalog.models import AGENTS, CATEGORIES
from atelier.catalog.service import Shown
from atelier.kernel.database import Again, is_duplicate
from atelier.kernel.errors import Invalid

A = AGENTS.c


def definition(session: Session, *, agent_id: str) -> Definition:
    """What the agent is now: as published, or as proposed last while it never was. Raises AgentNotFound."""
    view = listing.agent(session, agent_id=agent_id)
    if view is None:
        raise AgentNotFound(agent_id)
    more = session.connection().execute(select(A.icon_url, A.examples).where(A.id == agent_id)).one()
    return Definition(
        name=view.name,
        description=view.description,
        detailed_description=view.detailed_description,
        category_id=view.category.id,
        price_type=view.price_type,
        base_price=view.base_price,
        credits_per_use=view.credits_per_use,
        pricing=view.pricing,
        result_days=view.result_days,
        capabilities=view.capabilities,
        supported_languages=view.supported_languages,
        input_types=view.input_types,
        output_types=view.output_types,
        input_schema=view.input_schema,
        config_schema=view.config_schema,
        default_config=view.default_config,
        runtime=view.runtime,
        tags=[tag.name for tag in view.tags],
        icon_url=more.icon_url,
        examples=more.examples or [],
    )


def insert_agent(
    session: Session,
    *,
    agent_id: str,
    creator_id: str,
    proposed: Definition,
    status: str,
    tag_ids: Sequence[str],
    now_ms: int,
) -> None:
    """Insert an agent under a slug that is free. Raises Invalid when its category doesn't exist."""
    check_category(session, proposed)
    slug = _free_slug(session, proposed.name, agent_id=agent_id)
    with _found_by_the_next_run():
        shown = proposed.shown(slug=slug, creator_id=creator_id)
        service.create(session, agent_id=agent_id, shown=shown, status=status, now_ms=now_ms)
        _write(session, agent_id, proposed, tag_ids=tag_ids, now_ms=now_ms)


def rewrite(
    session: Session, *, agent_id: str, proposed: Definition, shown: Shown, tag_ids: Sequence[str], now_ms: int
) -> int:
    """Rewrite an agent; the number of the version that runs it. Raises Invalid when its category doesn't exist."""
    check_category(session, proposed)
    with _found_by_the_next_run():
        service.show(session, agent_id=agent_id, shown=shown, now_ms=now_ms)
        return _write(session, agent_id, proposed, tag_ids=tag_ids, now_ms=now_ms)


def _write(session: Session, agent_id: str, proposed: Definition, *, tag_ids: Sequence[str], now_ms: int) -> int:
    """All but the shown columns; the number of the version that runs it."""
    number = service.add_version(session, agent_id=agent_id, content=proposed.content, now_ms=now_ms)
    service.tag(session, agent_id=agent_id, tags=dict(zip(proposed.tags, tag_ids, strict=False)))
    more = {"icon_url": proposed.icon_url, "examples": list(proposed.examples) or None}
    session.connection().execute(update(AGENTS).where(A.id == agent_id).values(**more))
    return number


def check_category(session: Session, proposed: Definition) -> None:
    """Raise Invalid unless its category exists."""
    there = select(CATEGORIES.c.id).where(CATEGORIES.c.id == proposed.category_id)
    if session.connection().execute(there).first() is None:
        raise Invalid([{"path": ["categoryId"], "message": "no such category", "code": "category_unknown"}])


def _free_slug(session: Session, name: str, *, agent_id: str) -> str:
    wanted = slugs.candidates(name, agent_id=agent_id)
    taken = set(session.connection().scalars(select(A.slug).where(A.slug.in_(wanted))))
    return next(slug for slug in wanted if slug not in taken)


@contextmanager
def _found_by_the_next_run() -> Generator[None]:
    """A slug or tag that another transaction made meanwhile, or a category that it removed: look again."""
    try:
        yield
    except IntegrityError as error:
        if is_duplicate(error) or _is_reference(error):
            raise Again from error
        raise


def _is_reference(error: IntegrityError) -> bool:
    arguments = getattr(error.orig, "args", ())
    return "FOREIGN KEY constraint failed" in str(error.orig) or 1452 in arguments[:1]
