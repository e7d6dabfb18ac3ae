"""Changes by hand that put agents and the index of the search apart, and what the doctor has to say of each."""

from tests.generation.corruptions import Corruption

SEARCH_CORRUPTIONS = {
    "a published agent is forgotten by the search": Corruption(
        "DELETE FROM search_documents WHERE agent_id = :agent", {"search.agent": "agent"}
    ),
    "an agent is archived and the search not told": Corruption(
        "UPDATE agents SET status = 'archived' WHERE id = :agent", {"search.document": "agent"}
    ),
    "an agent is found under another price": Corruption(
        "UPDATE search_documents SET list_price = list_price + 1 WHERE agent_id = :agent", {"search.facts": "agent"}
    ),
}
