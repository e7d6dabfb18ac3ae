"""From a score to a finished stereo bed: notes are placed, the room is added, the whole is levelled and faded."""

from collections.abc import Callable
from typing import Final

import numpy as np

from atelier.providers.sound.score import Mood, Note, write_score
from atelier.providers.sound.voices import RATE, Samples, play

Step = Callable[[float, str], None]

_BLOCK: Final = 1 << 17
_WET: Final = {"pad": 0.45, "pluck": 0.35, "marimba": 0.25, "bell": 0.55, "snare": 0.20, "shaker": 0.15, "hat": 0.10}


def make_bed(wanted: Mood, *, tempo: int, seconds: float, seed: int, step: Step) -> Samples:
    """Return so many seconds of music as two columns (left, right) between -1 and 1, at 44 100 per second."""
    notes = write_score(wanted, tempo=tempo, seconds=seconds, rng=np.random.default_rng([seed, 1]))
    length = round(seconds * RATE)
    dry, wet = _place(notes, length, step)
    wide = _room(wet, seconds=wanted.echo, rng=np.random.default_rng([seed, 2]), step=step)
    step(0.9, "master")
    return _master(dry + wide)


def _place(notes: list[Note], length: int, step: Step) -> tuple[Samples, Samples]:
    """Return the notes as they are, and as much of each as goes into the room."""
    dry = np.zeros((length, 2), np.float32)
    wet = np.zeros((length, 2), np.float32)
    for number, note in enumerate(notes):
        if number % 24 == 0:
            step(0.05 + 0.55 * number / len(notes), "notes")
        sound = play(note.voice, note.pitch, round(note.length, 3))
        start = round(note.start * RATE)
        end = min(length, start + sound.size)
        angle = (note.pan + 1) * np.pi / 4
        sides = np.array([np.cos(angle), np.sin(angle)], np.float32) * np.float32(note.loud)
        placed = sound[: end - start, None] * sides
        dry[start:end] += placed
        wet[start:end] += placed * np.float32(_WET.get(note.voice, 0.0))
    return dry, wet


def _room(wet: Samples, *, seconds: float, rng: np.random.Generator, step: Step) -> Samples:
    """Return the echo of a room that is silent after so many seconds, block by block."""
    t = np.arange(round(seconds * RATE), dtype=np.float32) / RATE
    fall = np.exp(-6.9 * t / seconds) * np.clip(t / 0.012, 0, 1)
    answer = rng.normal(0, 1, (t.size, 2)).astype(np.float32)
    # Air takes the high end: each sample is averaged with its neighbours.
    answer = (answer + np.roll(answer, 1, axis=0) + np.roll(answer, 2, axis=0)) * fall[:, None]
    answer /= np.sqrt((answer**2).sum(axis=0))
    size = 1 << int(np.ceil(np.log2(_BLOCK + t.size)))
    spectrum = np.fft.rfft(answer, size, axis=0)
    total = np.zeros((wet.shape[0] + size, 2), np.float32)
    for start in range(0, wet.shape[0], _BLOCK):
        step(0.6 + 0.3 * start / wet.shape[0], "room")
        block = np.fft.rfft(wet[start : start + _BLOCK], size, axis=0)
        total[start : start + size] += np.fft.irfft(block * spectrum, size, axis=0).astype(np.float32)
    return total[: wet.shape[0]]


def _master(mixed: Samples) -> Samples:
    """Level the whole to a comfortable loudness through a soft limiter, never above -1 dB, and fade both ends."""
    loud = mixed * np.float32(0.17 / max(1e-6, float(np.sqrt((mixed**2).mean()))))
    limited = 0.89 * np.tanh(loud / 0.89)
    t = np.arange(mixed.shape[0], dtype=np.float32) / RATE
    length = mixed.shape[0] / RATE
    fade = np.minimum(np.clip(t / 0.03, 0, 1), np.clip((length - t) / min(2.5, length / 3), 0, 1) ** 1.4)
    return np.asarray(limited * fade[:, None], np.float32)
