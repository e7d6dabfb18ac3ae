"""How often somebody may ask: as often as they may themselves, and with an API key as often as that key may besides.

A request is counted against all of these or against none, so that what a key is refused leaves its user the whole rate.
"""

from web.identity import Identity
from web.limits import Limits, Policy, Quota, Share


class Rates:
    """The rates of one process. Nothing here waits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._submit = limits.policy("submit")
        self._key, self._key_submit = limits.policy("key"), limits.policy("key_submit")

    def request(self, identity: Identity, policy: Policy, now_ms: int) -> Quota:
        """Count one request under this policy, and against what the key may ask for; a submission as such besides."""
        key = identity.key
        if key is None:
            return self._limits.take(policy, identity.user_id, now_ms)
        shares = [Share(policy, identity.user_id, policy.limit)]
        if key.requests_per_minute is not None:
            shares.append(Share(self._key, key.key_id, key.requests_per_minute))
        if policy is self._submit and key.submissions_per_minute is not None:
            shares.append(Share(self._key_submit, key.key_id, key.submissions_per_minute))
        return self._limits.take_all(shares, now_ms)

    def submissions(self, identity: Identity, amount: int, now_ms: int) -> Quota:
        """Count so many submissions of one request, of which `submissions_max` is the most that can ever pass."""
        shares = [Share(self._submit, identity.user_id, self._submit.limit)]
        key = identity.key
        if key is not None and key.submissions_per_minute is not None:
            shares.append(Share(self._key_submit, key.key_id, key.submissions_per_minute))
        return self._limits.take_all(shares, now_ms, amount)

    def submissions_max(self, identity: Identity) -> int:
        """How much may be submitted in a minute in which nothing else is."""
        own = identity.key.submissions_per_minute if identity.key is not None else None
        return self._submit.limit if own is None else min(own, self._submit.limit)
