"""Quotes: a price that is promised for a while. Nothing is stored: a quote is signed, and says all that it promises.

It names the agent's version, what it costs at most and until when, and has a digest of the input and of the config that
it was made for. Its signature is over its user too: in anyone else's hands it is no quote at all.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from atelier.generation.errors import QuoteExpired, QuoteInvalid
from atelier.kernel import tokens
from atelier.kernel.errors import Invalid
from atelier.kernel.keyring import Keyring

PURPOSE: Final = "quote"
QUOTE_CHARS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What is promised: this version of the agent, for what the digests stand for, at `credits` at most."""

    agent_id: str
    version: int
    credits: int
    expires_ms: int
    input_digest: str
    config_digest: str

    def require(self, *, input_data: Mapping[str, Any] | None = None, config: Mapping[str, Any] | None = None) -> None:
        """Raise Invalid, naming the field, unless what is given is what the quote was made for."""
        if input_data is not None and digest(input_data) != self.input_digest:
            raise mismatch("inputData")
        if config is not None and digest(config) != self.config_digest:
            raise mismatch("config")


def issue(keyring: Keyring, quote: Quote, *, user_id: str) -> str:
    """The quote as a text for this user."""
    told = [
        *(quote.agent_id, quote.version, quote.credits),
        *(quote.expires_ms, quote.input_digest, quote.config_digest),
    ]
    payload = base64.urlsafe_b64encode(json.dumps(told, separators=(",", ":")).encode()).decode().rstrip("=")
    return f"{payload}.{tokens.derived(keyring.current, PURPOSE, _name(user_id, payload))}"


def read(keyring: Keyring, quote_id: str, *, user_id: str, now_ms: int) -> Quote:
    """The quote that this text is. Raises QuoteInvalid for what this user was never given, QuoteExpired afterwards."""
    payload, _, signature = quote_id.rpartition(".")
    if not quote_id.isascii() or not tokens.matches(keyring, PURPOSE, _name(user_id, payload), signature):
        raise QuoteInvalid
    agent_id, version, price, expires_ms, input_digest, config_digest = json.loads(
        base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    )
    if expires_ms <= now_ms:
        raise QuoteExpired
    return Quote(
        agent_id=agent_id,
        version=version,
        credits=price,
        expires_ms=expires_ms,
        input_digest=input_digest,
        config_digest=config_digest,
    )


def digest(document: Mapping[str, Any]) -> str:
    """The same for the same JSON, in whatever order its members come."""
    raw = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(raw).digest()).decode().rstrip("=")


def mismatch(field: str) -> Invalid:
    """The refusal of a quote that was made for something else."""
    return Invalid([{"path": [field], "message": "Not what the quote was made for.", "code": "quote_mismatch"}])


def _name(user_id: str, payload: str) -> str:
    return f"{user_id}/{payload}"
