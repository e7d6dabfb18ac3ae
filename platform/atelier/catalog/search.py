"""Finding agents by words and by what they are: what the rest of the catalogue calls.

The index is tables of our own, so every database gives the same answers. `search_terms` says what a word is,
`search_documents` which keys lead to an agent, `search_postings` how keys are kept, `search_query` who has the keys of
a question, `search_order` who of them comes first.
"""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from atelier.catalog import search_documents as documents
from atelier.catalog import search_postings as postings
from atelier.catalog import search_terms as terms
from atelier.catalog.search_postings import Change


def fold(text: str) -> str:
    """The form in which texts are compared: compatibility forms and case are gone, blanks are single."""
    return terms.fold(text)


def index(session: Session, *, agent_id: str, name: str, tags: Sequence[str], description: str) -> None:
    """Make an agent findable by these texts and by what its row says now, in the place of what it was found by.

    Tell only about published agents, and in the transaction that changes them.
    """
    documents.lock(session)
    old = documents.stored(session, agent_ids=[agent_id]).get(agent_id)
    new = documents.made(
        number=old.number if old else documents.next_number(session),
        agent_id=agent_id,
        name=name,
        tags=tags,
        description=description,
        copied=documents.facts(session, agent_ids=[agent_id])[agent_id],
    )
    if new != old:
        before = documents.masks(old) if old else {}
        postings.apply(session, [Change(number=new.number, before=before, after=documents.masks(new))])
        documents.put(session, [new])


def forget(session: Session, *, agent_id: str) -> None:
    """Let an agent be found no longer."""
    documents.lock(session)
    old = documents.stored(session, agent_ids=[agent_id]).get(agent_id)
    if old is not None:
        postings.apply(session, [Change(number=old.number, before=documents.masks(old), after={})])
        documents.drop(session, agent_ids=[agent_id])
