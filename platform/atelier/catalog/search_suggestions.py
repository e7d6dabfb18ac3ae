"""What somebody may be about to type: tags and names."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, bindparam, func, select
from sqlalchemy.orm import Session

from atelier.catalog import search_documents as documents
from atelier.catalog import search_postings as postings
from atelier.catalog import search_query as query
from atelier.catalog import search_terms as terms
from atelier.catalog.models import AGENT_TAGS, AGENTS, TAGS
from atelier.catalog.search_models import DOCUMENTS
from atelier.catalog.search_order import Scale, top
from atelier.catalog.search_query import Found

SUGGESTED_MAX: Final = 10
TAGS_MAX: Final = 3
LOOKED_AT_MAX: Final = 20

Fits = Callable[[ColumnElement[str]], ColumnElement[bool]]
A = AGENTS.c
D = DOCUMENTS.c
T = TAGS.c


def suggestions(session: Session, found: Found, *, text: str, popularity: Scale) -> list[str]:
    """Up to three tags, then names of agents, that begin like `text` in any case, the popular ones first.

    `found` is what `search_query.find` says of the text. One with letters of a script that is written without blanks
    may also stand elsewhere in a tag or name.
    """
    if not found.hits:
        return []
    typed = terms.searchable(text[: query.QUERY_MAX], length_max=query.QUERY_MAX)
    anywhere = any(hit.piece.is_run for hit in found.hits)
    names = [hit.name for hit in found.hits]
    begun = [names[0] if anywhere else found.hits[0].start, *names[1:]]
    of_tags = top(postings.common(hit.tags for hit in found.hits), LOOKED_AT_MAX, scale=popularity, tied_max=0)
    of_names = top(postings.common(begun), LOOKED_AT_MAX, scale=popularity, tied_max=0)
    told = [*_texts(session, of_tags, _TAGS[anywhere], typed), *_texts(session, of_names, _NAMES[anywhere], typed)]
    return list({terms.fold(each): each for each in reversed(told)}.values())[::-1][:SUGGESTED_MAX]


def _texts(session: Session, bits: int, statement: Select[Any], typed: str) -> Sequence[str]:
    return session.connection().scalars(statement, {"numbers": bits, "typed": typed}).all() if bits else []


def _begins(text: ColumnElement[str]) -> ColumnElement[bool]:
    return func.instr(text, bindparam("typed")) == 1


def _has(text: ColumnElement[str]) -> ColumnElement[bool]:
    return func.instr(text, bindparam("typed")) > 0


def _of_names(fits: Fits) -> Select[Any]:
    return (
        select(A.name)
        .join(DOCUMENTS, D.agent_id == A.id)
        .where(documents.NUMBERED, A.status == "published", fits(D.name))
        .order_by(A.downloads_count.desc(), D.number.desc())
        .limit(SUGGESTED_MAX)
    )


def _of_tags(fits: Fits) -> Select[Any]:
    return (
        select(T.name)
        .join(AGENT_TAGS, AGENT_TAGS.c.tag_id == T.id)
        .join(DOCUMENTS, D.agent_id == AGENT_TAGS.c.agent_id)
        .where(documents.NUMBERED, fits(T.folded))
        .group_by(T.id)
        .order_by(func.count().desc(), T.id)
        .limit(TAGS_MAX)
    )


# By whether what was typed may stand anywhere.
_NAMES: Final = {False: _of_names(_begins), True: _of_names(_has)}
_TAGS: Final = {False: _of_tags(_begins), True: _of_tags(_has)}
