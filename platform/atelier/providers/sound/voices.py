"""The instruments: each turns a pitch and a length into samples at full loudness. Equal calls give equal samples."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.floating[Any]]

RATE: Final = 44_100
_TABLE: Final = 2048


@lru_cache(maxsize=256)
def play(voice: str, pitch: int, length: float) -> Samples:
    """Return one note, about -1..1. Shared between callers: never write into it."""
    samples = _VOICES[voice](pitch, length)
    samples.setflags(write=False)
    return samples


def _pad(pitch: int, length: float) -> Samples:
    """Three slightly detuned strings that swell and fade."""
    t = _seconds(length)
    table = _soft_saw(pitch)
    total = np.zeros(t.size, np.float32)
    for cents, phase in ((-7.0, 0.13), (0.0, 0.57), (6.0, 0.91)):
        turns = t * np.float32(_hertz(pitch) * 2 ** (cents / 1200)) + np.float32(phase)
        total += table[(np.mod(turns, 1.0) * _TABLE).astype(np.int32) % _TABLE]
    return np.asarray(total / 3 * _swell(t, length, attack=0.35, release=0.5), np.float32)


def _pluck(pitch: int, length: float) -> Samples:
    """A soft string: the higher a partial, the sooner it dies."""
    t = _seconds(min(length, 1.6))
    turn = 2 * np.pi * _hertz(pitch) * t
    total = sum(np.sin(k * turn) * np.exp(-t * (2.4 + 1.7 * k)) / k for k in range(1, 7))
    return np.asarray(total * _swell(t, t[-1], attack=0.004, release=0.08), np.float32)


def _marimba(pitch: int, length: float) -> Samples:
    """A wooden bar: a short note with its fourth partial in the attack."""
    t = _seconds(min(length, 0.7))
    turn = 2 * np.pi * _hertz(pitch) * t
    total = np.sin(turn) * np.exp(-t * 7) + 0.35 * np.sin(3.93 * turn) * np.exp(-t * 26)
    return np.asarray(total * _swell(t, t[-1], attack=0.002, release=0.06), np.float32)


def _bell(pitch: int, length: float) -> Samples:
    """A glassy bell by frequency modulation."""
    t = _seconds(min(length, 2.4))
    turn = 2 * np.pi * _hertz(pitch) * t
    total = np.sin(turn + 0.8 * np.exp(-t * 5.5) * np.sin(3.0 * turn)) * np.exp(-t * 2.1)
    return np.asarray(total * _swell(t, t[-1], attack=0.003, release=0.25), np.float32)


def _bass(pitch: int, length: float) -> Samples:
    t = _seconds(length)
    turn = 2 * np.pi * _hertz(pitch) * t
    total = np.tanh(1.4 * (np.sin(turn) + 0.28 * np.sin(2 * turn) + 0.10 * np.sin(3 * turn)))
    return np.asarray(total * np.exp(-t * 0.9) * _swell(t, length, attack=0.012, release=0.10), np.float32)


def _kick(_pitch: int, _length: float) -> Samples:
    t = _seconds(0.32)
    turn = 2 * np.pi * (46 * t + 92 / 26 * (1 - np.exp(-26 * t)))
    return np.asarray(np.sin(turn) * np.exp(-t * 11) * _swell(t, t[-1], attack=0.002, release=0.05), np.float32)


def _snare(_pitch: int, _length: float) -> Samples:
    t = _seconds(0.22)
    body = 0.5 * np.sin(2 * np.pi * 182 * t) * np.exp(-t * 26)
    return np.asarray((body + 0.8 * _hiss(t.size, bright=1) * np.exp(-t * 21)) * _fade_end(t), np.float32)


def _hat(_pitch: int, _length: float) -> Samples:
    t = _seconds(0.09)
    return np.asarray(_hiss(t.size, bright=2) * np.exp(-t * 62) * _fade_end(t), np.float32)


def _shaker(_pitch: int, _length: float) -> Samples:
    t = _seconds(0.16)
    return np.asarray(
        _hiss(t.size, bright=1) * np.minimum(t / 0.03, np.exp(-(t - 0.03) * 30)) * _fade_end(t), np.float32
    )


_VOICES: Final[dict[str, Callable[[int, float], Samples]]] = {
    "pad": _pad,
    "pluck": _pluck,
    "marimba": _marimba,
    "bell": _bell,
    "bass": _bass,
    "kick": _kick,
    "snare": _snare,
    "hat": _hat,
    "shaker": _shaker,
}


def _seconds(length: float) -> Samples:
    return np.asarray(np.arange(max(1, round(length * RATE))) / RATE, np.float32)


def _hertz(pitch: int) -> float:
    return float(440.0 * 2 ** ((pitch - 69) / 12))


@lru_cache(maxsize=128)
def _soft_saw(pitch: int) -> Samples:
    """Return one turn of a mellow saw, without partials above what the sample rate can carry."""
    partials = int(min(14, 0.45 * RATE / _hertz(pitch)))
    turn = 2 * np.pi * np.arange(_TABLE) / _TABLE
    total = sum(np.sin(k * turn) / k**1.7 for k in range(1, partials + 1))
    return np.asarray(total, np.float32)


def _swell(t: Samples, length: float, *, attack: float, release: float) -> Samples:
    return np.asarray(np.clip(np.minimum(t / attack, (length - t) / release), 0, 1), np.float32)


def _fade_end(t: Samples) -> Samples:
    return np.asarray(np.clip((t[-1] - t) / 0.01, 0, 1), np.float32)


def _hiss(count: int, *, bright: int) -> Samples:
    """Return noise without its low end: every difference taken moves it further up. The same noise for everyone."""
    noise = np.random.default_rng(count).uniform(-1, 1, count + bright)
    for _ in range(bright):
        noise = np.diff(noise)
    return np.asarray(noise / np.abs(noise).max(), np.float32)
