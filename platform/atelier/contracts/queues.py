"""The queues: names say the resource, and every role's worker names the ones that it serves."""

GENERATION_TEXT = "generation.text"
GENERATION_IMAGE = "generation.image"
GENERATION_AUDIO = "generation.audio"
GENERATION_VIDEO = "generation.video"
FILES = "files"
PROVIDER_POLL = "provider.poll"
MONEY = "money"
MAIL = "mail"
WEBHOOKS = "webhooks"
ANALYTICS = "analytics"
SYSTEM = "system"

GENERATION = {"text": GENERATION_TEXT, "image": GENERATION_IMAGE, "audio": GENERATION_AUDIO, "video": GENERATION_VIDEO}

# The three default workers. Each queue is served by one of them, and can be given a worker of its own.
WORKERS: dict[str, tuple[str, ...]] = {
    "generation": (GENERATION_TEXT, PROVIDER_POLL, WEBHOOKS, MAIL),
    "media": (GENERATION_IMAGE, GENERATION_AUDIO, GENERATION_VIDEO, FILES),
    "money": (MONEY, ANALYTICS, SYSTEM),
}
ALL: tuple[str, ...] = tuple(queue for served in WORKERS.values() for queue in served)
