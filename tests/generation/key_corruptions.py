"""Changes to API keys and their jobs that only a hand or a bug can make, and what the doctor has to say of each.

The names are those of the world in test_doctor_keys: two keys of two users, `done` and `waiting` jobs of the first.
"""

from tests.generation.corruptions import Corruption

KEY_CORRUPTIONS = {
    "more is held than the jobs hold": Corruption(
        "UPDATE api_keys SET credits_held = credits_held + 1 WHERE id = :key", {"key.held": "key"}
    ),
    "less was used than the jobs have used": Corruption(
        "UPDATE api_keys SET credits_used = credits_used - 1 WHERE id = :key", {"key.used": "key"}
    ),
    "the limit falls below what is spent": Corruption(
        "UPDATE api_keys SET credit_limit = 3 WHERE id = :key", {"key.limit": "key"}
    ),
    "less than nothing is held": Corruption(
        "UPDATE api_keys SET credits_held = -1 WHERE id = :other_key",
        {"key.limit": "other_key", "key.held": "other_key"},
    ),
    "a waiting job is put to another's key": Corruption(
        "UPDATE jobs SET key_id = :other_key WHERE id = :waiting",
        {"key.owner": "waiting", "key.held": "key other_key"},
    ),
    "a job that ended forgets its key": Corruption(
        "UPDATE jobs SET key_id = NULL WHERE id = :done", {"key.used": "key"}
    ),
}
