"""What holds between agents and the index of the search; `atelier search rebuild` mends what doesn't.

search.agent     a published agent can be found
search.facts     it is found by what its row says: category, price, creator
search.document  whoever can be found is published
"""

from sqlalchemy import and_, or_

from atelier.catalog.models import AGENTS
from atelier.catalog.search_models import DOCUMENTS
from atelier.kernel.invariants import Family, Invariant, within

_a = AGENTS.alias("a")
_d = DOCUMENTS.alias("d")
_A, _D = _a.c, _d.c
_COPIED = ("category_id", "price_type", "creator_id", "list_price", "created_ms")


def _agents() -> Family:
    return Family(
        rows=_a.outerjoin(_d, _D.agent_id == _A.id),
        subject=_A.id,
        facts=(_A.slug, _D.number),
        invariants=(
            Invariant("search.agent", _D.number.is_(None), "warning"),
            Invariant("search.facts", or_(*(_D[name] != _A[name] for name in _COPIED)), "warning"),
        ),
        where=and_(within(_A.id), _A.status == "published"),
        walked=AGENTS.c.id,
        by_time=True,
    )


def _documents() -> Family:
    return Family(
        rows=_d.join(_a, _A.id == _D.agent_id),
        subject=_D.agent_id,
        facts=(_D.number, _A.status),
        invariants=(Invariant("search.document", _A.status != "published", "warning"),),
        where=within(_D.agent_id),
        walked=DOCUMENTS.c.agent_id,
        by_time=True,
    )


FAMILIES = (_agents(), _documents())
