"""The files that a step of a job works with: what other steps of the same job have made."""

from collections.abc import Mapping, Sequence
from typing import Any

from atelier.jobs.service import Claimed
from atelier.providers.contract import Source
from atelier.storage.port import Storage


def read(storage: Storage, claimed: Claimed) -> Mapping[str, Sequence[Source]]:
    """All of them; nothing for a job that stands by itself, whatever its user has written there.

    Raises StorageUnavailable or FileMissing.
    """
    if claimed.parent_id is None:
        return {}
    named: Mapping[str, Sequence[Mapping[str, Any]]] = claimed.input.get("sources", {})
    return {name: [_source(storage, one) for one in files] for name, files in named.items()}


def _source(storage: Storage, described: Mapping[str, Any]) -> Source:
    with storage.open(described["key"]) as file:
        return Source(content_type=described["contentType"], data=file.read())
