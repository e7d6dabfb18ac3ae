"""Tables of the search: what is known of each published agent, and which of them have which key."""

from typing import cast

from sqlalchemy import ForeignKey, Integer, LargeBinary, Table
from sqlalchemy.orm import Mapped, mapped_column

from atelier.catalog.models import DESCRIPTION_MAX, NAME_MAX, TAGS_MAX
from atelier.kernel.columns import Id, Key, Millis, Name
from atelier.kernel.database import Base

KEY_MAX = 64


class SearchDocument(Base):
    """A published agent as the index knows it, under its number: enough to tell which keys lead to it.

    The texts are folded; `tags` has one per line. Numbers are given in the order of publication.
    """

    __tablename__ = "search_documents"

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    agent_id: Mapped[str] = mapped_column(Id(), ForeignKey("agents.id"), unique=True)
    name: Mapped[str] = mapped_column(Name(NAME_MAX))
    tags: Mapped[str] = mapped_column(Name(TAGS_MAX))
    description: Mapped[str] = mapped_column(Name(DESCRIPTION_MAX))
    category_id: Mapped[str] = mapped_column(Id())
    price_type: Mapped[str] = mapped_column(Key(16))
    creator_id: Mapped[str] = mapped_column(Id())
    list_price: Mapped[int] = mapped_column(Integer)
    rating_avg: Mapped[int] = mapped_column(Integer)
    downloads_count: Mapped[int] = mapped_column(Integer)
    created_ms: Mapped[int] = mapped_column(Millis)


class SearchPosting(Base):
    """Which agents of a block of numbers have a key, and in which of their fields: see `search_rows`."""

    __tablename__ = "search_postings"

    key: Mapped[str] = mapped_column(Name(KEY_MAX), primary_key=True)
    block: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    bits: Mapped[bytes] = mapped_column(LargeBinary)


class SearchState(Base):
    """One row, which is locked by whoever changes the index. `layout` says how the index was made, 0 for not yet."""

    __tablename__ = "search_state"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    writes: Mapped[int] = mapped_column(Millis)
    layout: Mapped[int] = mapped_column(Integer)


DOCUMENTS = cast("Table", SearchDocument.__table__)
POSTINGS = cast("Table", SearchPosting.__table__)
STATE = cast("Table", SearchState.__table__)
