"""Changes of webhooks that only a hand or a bug can make, and what the doctor says of each: check → whom it names.

`told` was delivered to the endpoint, `next` waits behind it; `own` was delivered to the webhook of `job`; `ping` was
answered.
"""

WEBHOOK_CORRUPTIONS: dict[str, tuple[str, dict[str, str]]] = {
    "an endpoint vanishes": (
        "DELETE FROM webhook_endpoints",
        {"webhook.event": "told next ping"},
    ),
    "an endpoint passes to somebody else": (
        "UPDATE webhook_endpoints SET user_id = :job",
        {"webhook.event": "told next ping"},
    ),
    "the webhook of a job vanishes": ("DELETE FROM job_webhooks", {"webhook.event": "own"}),
    "an event says that a job ended otherwise": (
        "UPDATE webhook_events SET type = 'job.completed' WHERE id = :told",
        {"webhook.job": "told"},
    ),
    "a job goes on that was told to have ended": (
        "UPDATE webhook_events SET job_id = :waiting, target_id = :waiting, endpoint_id = NULL WHERE id = :own",
        {"webhook.job": "own", "webhook.event": "own", "webhook.told": "job"},
    ),
    "a ping is about a job": (
        "UPDATE webhook_events SET job_id = :waiting WHERE id = :ping",
        {"webhook.job": "ping"},
    ),
    "an answer is forgotten": (
        "DELETE FROM webhook_attempts WHERE event_id = :told",
        {"webhook.delivered": "told"},
    ),
    "an answer was none": (
        "UPDATE webhook_attempts SET status = 302 WHERE event_id = :own",
        {"webhook.delivered": "own"},
    ),
    "what has ended still has a time": (
        "UPDATE webhook_events SET due_ms = 1 WHERE id = :told",
        {"webhook.shape": "told"},
    ),
    "what waits would never be woken": (
        "UPDATE webhook_events SET wake_ms = NULL WHERE id = :next",
        {"webhook.shape": "next"},
    ),
    "one that waits was overtaken": (
        "UPDATE webhook_events SET id = '00000000-0000-7000-8000-000000000000' WHERE id = :next",
        {"webhook.order": "told"},
    ),
    "the event of a job is lost": ("DELETE FROM webhook_events WHERE id = :own", {"webhook.told": "job"}),
    "nobody looks after what is due": (
        "UPDATE webhook_events SET wake_ms = 1 WHERE id = :next",
        {"webhook.late": "next"},
    ),
    "an event of an old job has outlived its use": (
        "DELETE FROM webhook_events WHERE id = :told",
        {},
    ),
}
