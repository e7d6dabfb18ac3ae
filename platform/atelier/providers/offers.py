"""What authors of agents may choose from: the providers of this installation, what each makes and takes.

No heavy import, as in the schemas: the web tier reads it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from atelier.providers import schemas
from atelier.providers.schemas import ProviderSchemas

DEFAULTS: Final = {"text": "local-text", "image": "local-image", "audio": "local-audio", "video": "local-video"}
"""The provider of an agent that names none, by what it makes: it runs here, without any key."""

ONLY_ITS_OWN: Final = frozenset({""})


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A provider: what it makes, what it takes, and the models that may be asked for ("" is its own choice)."""

    kind: str
    schemas: ProviderSchemas
    models: frozenset[str] = field(default=ONLY_ITS_OWN)


_LOCAL: Final = {
    "outline": Offer(kind="text", schemas=schemas.OUTLINE),
    "local-text": Offer(kind="text", schemas=schemas.TEXT),
    "local-image": Offer(kind="image", schemas=schemas.IMAGE),
    "local-audio": Offer(kind="audio", schemas=schemas.AUDIO),
    "local-video": Offer(kind="video", schemas=schemas.VIDEO),
}
# Provider, what it makes, what it takes, and the name of the model that it uses unless one is asked for.
_OPENAI: Final = (
    ("openai", "text", schemas.OPENAI_CHAT, "chat"),
    ("openai-images", "image", schemas.OPENAI_IMAGES, "images"),
    ("openai-speech", "audio", schemas.OPENAI_SPEECH, "speech"),
)
_KLING: Final = Offer(
    kind="video",
    schemas=schemas.KLING,
    models=frozenset({"", "kling-v1-6", "kling-v2-1-master", "kling-v2-5-turbo", "kling-v2-6"}),
)
_USUAL: Final = frozenset(usual for *_, usual in _OPENAI)


def offers(
    *, openai: bool, openai_models: Mapping[str, str], development: bool, kling: bool = False
) -> dict[str, Offer]:
    """Every provider that agents may name: those of the registry that is built with the same options."""
    found = dict(_LOCAL)
    if openai:
        named = openai_models.keys() - _USUAL
        for name, kind, taken, usual in _OPENAI:
            models = named | (ONLY_ITS_OWN if usual in openai_models else frozenset[str]())
            found[name] = Offer(kind=kind, schemas=taken, models=frozenset(models))
    if kling:
        found["kling"] = _KLING
    if development:
        found["echo"] = Offer(kind="text", schemas=schemas.ECHO)
    return found


def model_names(listed: Iterable[str]) -> dict[str, str]:
    """`["chat=gpt-5-mini", "gpt-5"]` → {"chat": "gpt-5-mini", "gpt-5": "gpt-5"}: our names → the endpoint's."""
    pairs = (one.partition("=") for one in listed)
    return {name.strip(): (value or name).strip() for name, _, value in pairs}
