"""The seed of a request."""

import hashlib

from atelier.providers.contract import GenerationRequest
from atelier.providers.parameters import Parameters
from atelier.providers.schemas import MAX_SEED


def seed_of(request: GenerationRequest, parameters: Parameters) -> int:
    """Return the seed asked for; else every job has its own, and a second attempt of a job has the first one's."""
    if parameters.has("seed"):
        return parameters.integer("seed")
    return int.from_bytes(hashlib.sha256(request.provider_key.encode()).digest()[:4], "big") % (MAX_SEED + 1)
