"""Asking a served application in one line."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atelier.accounts.api_keys import NewKey
from tests.live.harness import Served


@dataclass(frozen=True)
class Got:
    """An answer."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def code(self) -> tuple[int, str]:
        """Status and stable word of a problem."""
        return self.status, self.body["code"]


def by_key(key: NewKey) -> dict[str, str]:
    """The headers of a request with this key."""
    return {"Authorization": f"Bearer {key.token.text}"}


async def ask(  # noqa: PLR0917 - as a request line reads
    served: Served, method: str, path: str, who: Mapping[str, str], body: Any = None
) -> Got:
    """Ask, and read the answer to its end."""
    async with served.client.request(method, path, headers=who, json=body, allow_redirects=False) as got:
        raw = await got.read()
        shown = await got.json(content_type=None) if raw and "json" in got.content_type else raw
        return Got(got.status, shown, got.headers)
