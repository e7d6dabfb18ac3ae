"""The score of a music bed: which note sounds when, on which instrument. Pure rules; no sound is made here."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from atelier.providers.schemas import MOODS

_MAJOR: Final = (0, 2, 4, 5, 7, 9, 11)
_MINOR: Final = (0, 2, 3, 5, 7, 8, 10)
_BEATS: Final = 4


@dataclass(frozen=True, slots=True)
class Note:
    """One sound: `pitch` is a MIDI number (0 for drums), times are seconds, `pan` runs from -1 (left) to 1."""

    start: float
    length: float
    pitch: int
    loud: float
    voice: str
    pan: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mood:
    """How a mood sounds. Progressions name scale degrees, one for each bar; patterns name beats within a bar."""

    tempo: int
    scale: tuple[int, ...]
    progressions: tuple[tuple[int, ...], ...]
    arpeggio: str  # the instrument of the broken chords
    steps: int  # broken chord notes in a bar
    melody: float  # how likely a melody note is on each half beat
    bass: tuple[float, ...]
    drums: tuple[tuple[str, tuple[float, ...], float], ...]
    echo: float  # seconds until the room is silent


_MOODS: Final = {
    "calm": Mood(
        tempo=72,
        scale=_MAJOR,
        progressions=((0, 4, 5, 3), (0, 2, 3, 4), (3, 0, 4, 5)),
        arpeggio="pluck",
        steps=8,
        melody=0.16,
        bass=(0.0,),
        drums=(("shaker", (1.0, 3.0), 0.04),),
        echo=3.2,
    ),
    "bright": Mood(
        tempo=112,
        scale=_MAJOR,
        progressions=((0, 4, 5, 3), (3, 4, 0, 5), (0, 5, 3, 4)),
        arpeggio="pluck",
        steps=8,
        melody=0.26,
        bass=(0.0, 1.5, 2.0, 3.5),
        drums=(
            ("kick", (0.0, 1.0, 2.0, 3.0), 0.55),
            ("snare", (1.0, 3.0), 0.26),
            ("hat", (0.5, 1.5, 2.5, 3.5), 0.14),
        ),
        echo=1.6,
    ),
    "dark": Mood(
        tempo=84,
        scale=_MINOR,
        progressions=((0, 5, 2, 6), (0, 3, 5, 4), (0, 6, 5, 6)),
        arpeggio="bell",
        steps=4,
        melody=0.12,
        bass=(0.0, 2.5),
        drums=(("kick", (0.0, 0.5), 0.50), ("snare", (2.0,), 0.12), ("shaker", (1.0, 3.0), 0.07)),
        echo=3.6,
    ),
    "playful": Mood(
        tempo=126,
        scale=_MAJOR,
        progressions=((0, 5, 1, 4), (0, 3, 4, 0), (0, 1, 3, 4)),
        arpeggio="marimba",
        steps=8,
        melody=0.34,
        bass=(0.0, 1.0, 2.0, 3.0),
        drums=(
            ("kick", (0.0, 2.0), 0.45),
            ("snare", (1.0, 3.0), 0.16),
            ("shaker", (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5), 0.09),
        ),
        echo=1.2,
    ),
}

_MOOD_WORDS: Final = {
    "calm": "calm quiet slow soft sleep rain sea ocean night tea zen ambient meditation mountain snow "
    "静 安 慢 柔 睡 雨 海 夜 茶 禅 冥想 山 雪 水墨",
    "bright": "bright happy launch summer morning sun spring product energy hope city festival travel "
    "明 快乐 夏 晨 阳光 春 产品 活力 希望 城 节 旅 发布",
    "dark": "dark sad horror mystery storm space noir war machine winter lonely "
    "暗 悲 恐 谜 暴风 太空 战 机器 冬 孤独 黑",
    "playful": "fun game kids children cat dog funny cartoon bakery birthday party toy play "
    "趣 游戏 儿童 孩子 猫 狗 卡通 面包 生日 派对 玩",
}


def mood_for(prompt: str, rng: np.random.Generator) -> str:
    """Return the mood that the prompt's words name most often, or any when they name none."""
    said = re.findall(r"[a-z]+", prompt.lower())
    scores = {
        mood: sum(said.count(word) if word.isascii() else prompt.count(word) for word in known.split())
        for mood, known in _MOOD_WORDS.items()
    }
    best = max(scores, key=lambda mood: scores[mood])
    return best if scores[best] else str(rng.choice(MOODS))


def mood(name: str) -> Mood:
    """Return how a mood sounds."""
    return _MOODS[name]


def write_score(wanted: Mood, *, tempo: int, seconds: float, rng: np.random.Generator) -> list[Note]:
    """Return the notes of a bed of so many seconds. The last bar may ring on; whoever mixes fades it out."""
    beat = 60.0 / tempo
    key = int(rng.integers(45, 53))
    progression = wanted.progressions[int(rng.integers(0, len(wanted.progressions)))]
    shape = tuple(int(step) for step in rng.permutation([0, 1, 2, 3, 2, 1, 0, 2]))
    notes: list[Note] = []
    for number in range(int(np.ceil(seconds / (beat * _BEATS)))):
        chord = _chord(wanted.scale, progression[number % len(progression)])
        bar = _Bar(mood=wanted, chord=chord, key=key, start=number * beat * _BEATS, beat=beat, shape=shape, rng=rng)
        notes += [*bar.pad(), *bar.bass()]
        # A long bed begins with one quiet bar, and the melody waits for two.
        if number > 0 or seconds < 8:
            notes += [*bar.arpeggio(), *bar.drums()]
        if number > 1:
            notes += bar.melody()
    return [note for note in notes if note.start < seconds]


def _chord(scale: tuple[int, ...], degree: int) -> tuple[int, int, int, int]:
    """Return root, third, fifth and seventh above the key note, in half tones within one octave."""
    root, third, fifth, seventh = (scale[(degree + step) % 7] % 12 for step in (0, 2, 4, 6))
    return root, third, fifth, seventh


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bar:
    """One bar: its chord over the `key` note (MIDI), where it starts and how long a beat is, in seconds."""

    mood: Mood
    chord: tuple[int, int, int, int]
    key: int
    start: float
    beat: float
    shape: tuple[int, ...]
    rng: np.random.Generator

    def pad(self) -> Iterator[Note]:
        """Kept within one octave, the chords move in small steps instead of jumping."""
        for place, tone in enumerate(self.chord):
            loud = 0.115 if place < 3 else 0.07
            yield Note(self.start, self.beat * _BEATS * 1.08, self.key + 12 + tone, loud, "pad", -0.5 + place / 3)

    def bass(self) -> Iterator[Note]:
        length = self.beat * (3.4 if len(self.mood.bass) == 1 else 0.9)
        for at in self.mood.bass:
            tone = self.chord[0] if at < 3 else self.chord[2]
            yield Note(self.start + at * self.beat, length, self.key - 12 + tone, 0.34, "bass")

    def arpeggio(self) -> Iterator[Note]:
        for step in range(self.mood.steps):
            at = self.start + step * self.beat * _BEATS / self.mood.steps
            pitch = self.key + 24 + self.chord[self.shape[step % len(self.shape)]]
            loud = (0.17 if step % 2 == 0 else 0.12) * float(self.rng.uniform(0.8, 1.1))
            yield Note(at, 1.4, pitch, loud, self.mood.arpeggio, 0.45 if step % 2 == 0 else -0.45)

    def melody(self) -> Iterator[Note]:
        """A sparse line over the chord's own tones and two of the scale between them."""
        tones = sorted({*self.chord, self.mood.scale[1], self.mood.scale[4]})
        place = int(self.rng.integers(0, len(tones)))
        for half in range(2 * _BEATS):
            if self.rng.uniform() < self.mood.melody:
                place = int(np.clip(place + self.rng.integers(-2, 3), 0, len(tones) - 1))
                at = self.start + half * self.beat / 2
                yield Note(at, 2.4, self.key + 24 + tones[place], 0.11, "bell", float(self.rng.uniform(-0.3, 0.3)))

    def drums(self) -> Iterator[Note]:
        for voice, places, loud in self.mood.drums:
            for at in places:
                strength = loud * float(self.rng.uniform(0.85, 1.0))
                yield Note(self.start + at * self.beat, 0.4, 0, strength, voice, _DRUM_PAN[voice])


_DRUM_PAN: Final = {"kick": 0.0, "snare": 0.08, "hat": -0.3, "shaker": 0.35}
