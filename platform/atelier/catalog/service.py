"""Writing agents: what is shown, the versions that run, tags, and whether it can be found."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import RowMapping, delete, insert, select, update
from sqlalchemy.orm import Session

from atelier.catalog import runtime, search, validation
from atelier.catalog.models import AGENT_TAGS, AGENTS, TAGS, VERSIONS

A = AGENTS.c
V = VERSIONS.c
T = TAGS.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the marketplace shows of an agent. Prices are credits; `category_id` must exist."""

    slug: str
    creator_id: str
    category_id: str
    name: str
    description: str
    detailed_description: str | None
    price_type: str
    base_price: int | None
    credits_per_use: int | None
    capabilities: Sequence[str]
    supported_languages: Sequence[str]
    input_types: Sequence[str]
    output_types: Sequence[str]

    @property
    def list_price(self) -> int:
        """What sorting by price compares."""
        by_type = {"pay_per_use": self.credits_per_use, "one_time": self.base_price, "subscription": self.base_price}
        return by_type.get(self.price_type) or 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a version runs. `runtime` is {"provider", "model", "promptTemplate", "parameterMapping"}.

    `pricing` is the document of a `pricing.Rule`, None for a fixed price; `result_days` is how long results are kept,
    None as long as the platform says.
    """

    kind: str
    input_schema: Mapping[str, Any]
    config_schema: Mapping[str, Any]
    default_config: Mapping[str, Any]
    runtime: Mapping[str, Any]
    price_type: str
    credits_per_use: int | None
    pricing: Mapping[str, Any] | None = None
    result_days: int | None = None

    def check(self) -> None:
        """Raise Invalid unless the schemas compile, the defaults obey theirs, and the mapping can be followed."""
        rules = validation.Rules(self.input_schema, self.config_schema)
        rules.check_config(self.default_config, at="defaultConfig")
        runtime.check_mapping(self.runtime["parameterMapping"])


def create(session: Session, *, agent_id: str, shown: Shown, status: str, now_ms: int) -> None:
    """Insert an agent without a live version. A taken slug is an IntegrityError."""
    counters = dict.fromkeys(("version", "rating_avg", "reviews_count", "downloads_count", "view_count"), 0)
    values = _columns(shown) | counters | {"status": status, "created_ms": now_ms, "updated_ms": now_ms}
    session.connection().execute(insert(AGENTS).values(id=agent_id, **values))


def show(session: Session, *, agent_id: str, shown: Shown, now_ms: int) -> bool:
    """Change what is shown; False when nothing of it is new."""
    stored = session.connection().execute(select(AGENTS).where(A.id == agent_id)).mappings().one()
    values = _columns(shown)
    if _holds(stored, values):
        return False
    session.connection().execute(update(AGENTS).where(A.id == agent_id).values(**values, updated_ms=now_ms))
    return True


def publish(session: Session, *, agent_id: str, version: int, now_ms: int) -> None:
    """Make an existing version the live one, and the agent visible and findable."""
    values = {"version": version, "status": "published", "updated_ms": now_ms}
    session.connection().execute(update(AGENTS).where(A.id == agent_id).values(**values))
    reindex(session, agent_id=agent_id)


def archive(session: Session, *, agent_id: str, now_ms: int) -> None:
    """Take an agent off the marketplace; its versions stay, for the jobs that ran them."""
    session.connection().execute(update(AGENTS).where(A.id == agent_id).values(status="archived", updated_ms=now_ms))
    search.forget(session, agent_id=agent_id)


def add_version(session: Session, *, agent_id: str, content: Content, now_ms: int) -> int:
    """The number of the version with this content: the newest one if it is the same, else a new one.

    Raises Invalid when the content can't run.
    """
    newest = select(VERSIONS).where(V.agent_id == agent_id).order_by(V.version.desc()).limit(1)
    stored = session.connection().execute(newest).mappings().one_or_none()
    values = asdict(content)
    if stored is not None and _holds(stored, values):
        return int(stored["version"])
    content.check()
    number = stored["version"] + 1 if stored is not None else 1
    session.connection().execute(
        insert(VERSIONS).values(agent_id=agent_id, version=number, created_ms=now_ms, **values)
    )
    return number


def tag(session: Session, *, agent_id: str, tags: Mapping[str, str]) -> bool:
    """Give an agent exactly these tags, in order; False when it has them. `tags` maps names to ids for new ones."""
    wanted = {search.fold(name): (name, tag_id) for name, tag_id in tags.items()}
    known = _tag_ids(session, list(wanted))
    new = [
        {"id": tag_id, "name": name, "folded": folded, "color": None}
        for folded, (name, tag_id) in wanted.items()
        if folded not in known
    ]
    if new:
        session.connection().execute(insert(TAGS), new)
    ids = [known.get(folded, tag_id) for folded, (_, tag_id) in wanted.items()]
    held = select(AGENT_TAGS.c.tag_id).where(AGENT_TAGS.c.agent_id == agent_id).order_by(AGENT_TAGS.c.position)
    if list(session.connection().scalars(held)) == ids:
        return False
    session.connection().execute(delete(AGENT_TAGS).where(AGENT_TAGS.c.agent_id == agent_id))
    rows = [{"agent_id": agent_id, "tag_id": tag_id, "position": place} for place, tag_id in enumerate(ids)]
    if rows:
        session.connection().execute(insert(AGENT_TAGS), rows)
    return True


def reindex(session: Session, *, agent_id: str) -> None:
    """Let search know what is shown now."""
    agent = session.connection().execute(select(A.name, A.description).where(A.id == agent_id)).one()
    names = (
        select(T.name)
        .join(AGENT_TAGS, AGENT_TAGS.c.tag_id == T.id)
        .where(AGENT_TAGS.c.agent_id == agent_id)
        .order_by(AGENT_TAGS.c.position)
    )
    tags = list(session.connection().scalars(names))
    search.index(session, agent_id=agent_id, name=agent.name, tags=tags, description=agent.description)


def _tag_ids(session: Session, folded: Sequence[str]) -> dict[str, str]:
    rows = session.connection().execute(select(T.folded, T.id).where(T.folded.in_(folded)))
    return {row.folded: row.id for row in rows}


def _holds(stored: RowMapping, values: Mapping[str, Any]) -> bool:
    """Whether the row has these values, compared as the JSON that they are stored as."""
    return all(stored[name] == value for name, value in from_json(to_json(values)).items())


def _columns(shown: Shown) -> dict[str, Any]:
    return asdict(shown) | {"list_price": shown.list_price}
