"""Every code that a job can fail with is in a class that says what an operator can do about it."""

import importlib
import pkgutil

import pytest

from atelier import generation, providers, storage
from atelier.generation import outcomes, sweep
from atelier.jobs import reasons
from atelier.kernel.errors import AtelierError, Transient


def _kinds() -> list[type[AtelierError]]:
    for package in (providers, storage):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    importlib.import_module(f"{generation.__name__}.run")

    def below(kind: type[AtelierError]) -> list[type[AtelierError]]:
        return [kind, *(one for child in kind.__subclasses__() for one in below(child))]

    places = ("atelier.providers", "atelier.storage", "atelier.generation.run", "atelier.kernel.database")
    return [kind for kind in below(AtelierError) if kind.__module__.startswith(places)]


def test_every_code_of_providers_storage_and_workers_is_classified() -> None:
    codes = {kind.code for kind in _kinds()} | {Transient.code, outcomes.BUG, sweep.TOO_LATE, sweep.ABANDONED}
    assert len(codes) > 15
    assert codes - reasons.CLASSES.keys() == set()


def test_every_class_has_a_code() -> None:
    assert set(reasons.CLASSES.values()) == set(reasons.REASONS)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("PROVIDER_TIMEOUT", "provider_unavailable"),
        ("PROVIDER_REJECTED", "provider_rejected"),
        ("PROVIDER_CONTENT_REFUSED", "content_refused"),
        ("DEADLINE_EXCEEDED", "deadline"),
        ("WORKER_LOST", "worker_lost"),
        ("STORAGE_UNAVAILABLE", "platform_unavailable"),
        ("PROVIDER_MISCONFIGURED", "misconfigured"),
        ("INTERNAL", "bug"),
        ("NEVER_HEARD_OF", "bug"),
        (None, "bug"),
    ],
)
def test_what_is_what(code: str | None, reason: str) -> None:
    assert reasons.of(code) == reason
