"""The queues: names say the resource, and every role's worker names the ones that it serves."""

GENERATION_TEXT = "generation.text"
GENERATION_IMAGE = "generation.image"
GENERATION_AUDIO = "generation.audio"
GENERATION_VIDEO = "generation.video"
GENERATION_COMPOSE = "generation.compose"
FILES = "files"
PROVIDER_POLL = "provider.poll"
MONEY = "money"
MAIL = "mail"
WEBHOOKS = "webhooks"
ANALYTICS = "analytics"
SYSTEM = "system"

# What jobs of a kind wait in. Those that are put together from other jobs wait by themselves, whatever they make.
COMPOSE = "compose"
GENERATION = {
    "text": GENERATION_TEXT,
    "image": GENERATION_IMAGE,
    "audio": GENERATION_AUDIO,
    "video": GENERATION_VIDEO,
    COMPOSE: GENERATION_COMPOSE,
}
WORKFLOW = "workflow"
"""The provider of such jobs: it makes nothing itself."""

# The three default workers. Each queue is served by one of them, and can be given a worker of its own.
WORKERS: dict[str, tuple[str, ...]] = {
    "generation": (GENERATION_TEXT, GENERATION_COMPOSE, PROVIDER_POLL, WEBHOOKS, MAIL),
    "media": (GENERATION_IMAGE, GENERATION_AUDIO, GENERATION_VIDEO, FILES),
    "money": (MONEY, ANALYTICS, SYSTEM),
}
ALL: tuple[str, ...] = tuple(queue for served in WORKERS.values() for queue in served)


def waits_in(*, kind: str, provider: str) -> str:
    """The queue of a job."""
    return GENERATION[COMPOSE if provider == WORKFLOW else kind]


def may_hold(*, kind: str) -> tuple[str, ...]:
    """The queues that can have jobs of this kind: its own, and that of what is put together."""
    return GENERATION[kind], GENERATION_COMPOSE
