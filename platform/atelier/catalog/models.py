"""Tables of agents: what is shown and searched, what runs (immutable versions), and who has bought what."""

from typing import Any, cast

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, Table, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from atelier.kernel.columns import Id, JsonDoc, Key, LongText, Millis, Name
from atelier.kernel.database import Base

NAME_MAX = 200
DESCRIPTION_MAX = 2_000
TAGS_MAX = 1_000

_PRICE_TYPE = "price_type IN ('free', 'one_time', 'subscription', 'pay_per_use')"
# COALESCE, because a CHECK that compares with NULL is unknown, and unknown passes: a missing price would be free.
_PRICE_PER_USE = "price_type <> 'pay_per_use' OR COALESCE(credits_per_use, 0) >= 1"
_PRICE_ONCE = "price_type NOT IN ('one_time', 'subscription') OR COALESCE(base_price, 0) >= 1"
_METERED = "pricing IS NULL OR price_type = 'pay_per_use'"
_RENEWED = "renew_price IS NULL OR (active_slot IS NOT NULL AND purchase_type = 'subscription')"


class Category(Base):
    """A shelf of the marketplace, named in both languages."""

    __tablename__ = "categories"

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    slug: Mapped[str] = mapped_column(Key(64), unique=True)
    name_zh: Mapped[str] = mapped_column(Name(100))
    name_en: Mapped[str] = mapped_column(Name(100))
    color: Mapped[str] = mapped_column(Key(7))
    position: Mapped[int] = mapped_column(Integer)


class Agent(Base):
    """What the marketplace shows. `version` is the live one in `agent_versions`, 0 while none has been approved.

    `rating_avg` is in hundredths of a star, made of `rating_sum` and `reviews_count`. `revision` grows with every
    change of what the agent is, proposed or decided: who changes it says which one they saw. `list_price` is what
    sorting by price means: the price per use, of the purchase, or 0, in credits.
    """

    __tablename__ = "agents"
    __table_args__ = (
        CheckConstraint(_PRICE_TYPE, name="price_type"),
        CheckConstraint(_PRICE_PER_USE, name="credits_per_use"),
        CheckConstraint(_PRICE_ONCE, name="base_price"),
        CheckConstraint("status IN ('draft', 'review', 'published', 'archived')", name="status"),
        CheckConstraint("status <> 'published' OR version >= 1", name="version"),
        CheckConstraint("rating_avg BETWEEN 0 AND 500", name="rating_avg"),
        Index("ix_agents_created", "status", "created_ms", "id"),
        Index("ix_agents_rating", "status", "rating_avg", "id"),
        Index("ix_agents_downloads", "status", "downloads_count", "id"),
        Index("ix_agents_price", "status", "list_price", "id"),
        Index("ix_agents_price_type", "price_type", "status", "created_ms", "id"),
        Index("ix_agents_category", "category_id", "status", "created_ms", "id"),
        Index("ix_agents_creator", "creator_id", "status", "created_ms", "id"),
    )

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    slug: Mapped[str] = mapped_column(Key(80), unique=True)
    creator_id: Mapped[str] = mapped_column(Id())
    category_id: Mapped[str] = mapped_column(Id(), ForeignKey("categories.id"))
    name: Mapped[str] = mapped_column(Name(NAME_MAX))
    description: Mapped[str] = mapped_column(Name(DESCRIPTION_MAX))
    detailed_description: Mapped[str | None] = mapped_column(LongText())
    price_type: Mapped[str] = mapped_column(Key(16))
    base_price: Mapped[int | None] = mapped_column(Integer)
    credits_per_use: Mapped[int | None] = mapped_column(Integer)
    list_price: Mapped[int] = mapped_column(Integer)
    capabilities: Mapped[list[str]] = mapped_column(JsonDoc)
    supported_languages: Mapped[list[str]] = mapped_column(JsonDoc)
    input_types: Mapped[list[str]] = mapped_column(JsonDoc)
    output_types: Mapped[list[str]] = mapped_column(JsonDoc)
    status: Mapped[str] = mapped_column(Key(16))
    version: Mapped[int] = mapped_column(Integer)
    rating_avg: Mapped[int] = mapped_column(Integer)
    reviews_count: Mapped[int] = mapped_column(Integer)
    downloads_count: Mapped[int] = mapped_column(Integer)
    view_count: Mapped[int] = mapped_column(Integer)
    rating_sum: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    revision: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    icon_url: Mapped[str | None] = mapped_column(Key(64))
    examples: Mapped[list[dict[str, Any]] | None] = mapped_column(JsonDoc)
    created_ms: Mapped[int] = mapped_column(Millis)
    updated_ms: Mapped[int] = mapped_column(Millis)


class AgentVersion(Base):
    """Everything that decides what a job does and costs. Rows are never changed: a job names the one it ran with.

    `pricing` is the rule of a metered price, whose maximum is `credits_per_use`; NULL for a fixed one.
    `result_days` is how long what its jobs make is kept at least; NULL is as long as the platform says.
    """

    __tablename__ = "agent_versions"
    __table_args__ = (
        CheckConstraint("version >= 1", name="version"),
        CheckConstraint("kind IN ('text', 'image', 'audio', 'video')", name="kind"),
        CheckConstraint(_PRICE_TYPE, name="price_type"),
        CheckConstraint(_PRICE_PER_USE, name="credits_per_use"),
        CheckConstraint(_METERED, name="pricing"),
        CheckConstraint("result_days BETWEEN 1 AND 365", name="result_days"),
    )

    agent_id: Mapped[str] = mapped_column(Id(), ForeignKey("agents.id"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(Key(16))
    input_schema: Mapped[dict[str, Any]] = mapped_column(JsonDoc)
    config_schema: Mapped[dict[str, Any]] = mapped_column(JsonDoc)
    default_config: Mapped[dict[str, Any]] = mapped_column(JsonDoc)
    runtime: Mapped[dict[str, Any]] = mapped_column(JsonDoc)
    price_type: Mapped[str] = mapped_column(Key(16))
    credits_per_use: Mapped[int | None] = mapped_column(Integer)
    pricing: Mapped[dict[str, Any] | None] = mapped_column(JsonDoc)
    result_days: Mapped[int | None] = mapped_column(Integer)
    created_ms: Mapped[int] = mapped_column(Millis)


class Tag(Base):
    """A word that agents share. `folded` is the form that must be unique."""

    __tablename__ = "tags"

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    name: Mapped[str] = mapped_column(Name(50))
    folded: Mapped[str] = mapped_column(Name(50), unique=True)
    color: Mapped[str | None] = mapped_column(Key(7))


class AgentTag(Base):
    """An agent has a tag, at a place in its own order."""

    __tablename__ = "agent_tags"
    __table_args__ = (Index(None, "tag_id", "agent_id"),)

    agent_id: Mapped[str] = mapped_column(Id(), ForeignKey("agents.id"), primary_key=True)
    tag_id: Mapped[str] = mapped_column(Id(), ForeignKey("tags.id"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer)


class AgentPurchase(Base):
    """A user paid for an agent, once. `active_slot` is 1 for the one active purchase and NULL for ended ones.

    So the unique key allows one active purchase per user and agent, and any number of ended ones. Who renews a
    subscription buys again: the earlier purchase ends, and the new one runs on from where it would have ended.
    `follows_id` is the purchase whose place it took; being unique, it lets nothing be renewed twice. `due_ms` is when
    somebody has to look at it next, to remind the user or to end it.

    `renew_price` is the most that the user agreed to pay for a renewal by itself, NULL where there is to be none.
    `renewal_told` are the obstacles to it that the user was told of, as bits; see `renewals.Obstacle`.
    """

    __tablename__ = "agent_purchases"
    __table_args__ = (
        UniqueConstraint("user_id", "agent_id", "active_slot"),
        CheckConstraint("active_slot = 1", name="active_slot"),
        CheckConstraint("purchase_type IN ('one_time', 'subscription')", name="purchase_type"),
        CheckConstraint(_RENEWED, name="renew_price"),
        Index(None, "agent_id", "created_ms"),
        Index(None, "expires_ms", "id"),
        Index(None, "user_id", "id"),
    )

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    user_id: Mapped[str] = mapped_column(Id())
    agent_id: Mapped[str] = mapped_column(Id(), ForeignKey("agents.id"))
    active_slot: Mapped[int | None] = mapped_column(Integer)
    purchase_type: Mapped[str] = mapped_column(Key(16))
    price: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    expires_ms: Mapped[int | None] = mapped_column(Millis)
    due_ms: Mapped[int | None] = mapped_column(Millis, index=True)
    ended_ms: Mapped[int | None] = mapped_column(Millis)
    renew_price: Mapped[int | None] = mapped_column(Integer)
    renewal_told: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    follows_id: Mapped[str | None] = mapped_column(Id(), unique=True)
    created_ms: Mapped[int] = mapped_column(Millis)


AGENTS = cast("Table", Agent.__table__)
CATEGORIES = cast("Table", Category.__table__)
VERSIONS = cast("Table", AgentVersion.__table__)
TAGS = cast("Table", Tag.__table__)
AGENT_TAGS = cast("Table", AgentTag.__table__)
PURCHASES = cast("Table", AgentPurchase.__table__)
