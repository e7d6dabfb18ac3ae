"""`story-video`: captions, a picture for each scene, sound, and a film of them. Declared, nothing is done here.

captions ──► image-1 … image-n ──► cut
    └ ─ ─ ─► sound (speech; music needs no captions) ─ ─►┘        without sound the film is silent
"""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from atelier.catalog.seed_content import CLIP_MAKER_ID, OUTLINE_WRITER_ID, POSTER_MAKER_ID, SOUNDSCAPE_ID
from atelier.generation.workflow import Made, Order, Step, Work, Workflow

TITLE_CHARS_MAX: Final = 60
SPOKEN_CHARS_MAX: Final = 1_800
PROMPT_CHARS_MAX: Final = 4_000
SECTIONS_MIN: Final = 3
SECONDS_MAX: Final = 20.0
SECONDS_MIN: Final = 2.0
_SECTION: Final = re.compile(r"^##\s*(?:\d+\s*[.、]\s*)?(?P<title>[^\n]+)\n+(?P<text>[^#]*)", re.MULTILINE)
_CHOSEN: Final = frozenset({"auto", "", None})


def steps(order: Order) -> Sequence[Step]:
    """The steps of one film."""
    scenes = int(order.config["scenes"])
    images = [
        Step(
            name=f"image-{number}",
            agent_id=POSTER_MAKER_ID,
            after=("captions",),
            make=partial(_image, number=number),
            weight=2,
        )
        for number in range(1, scenes + 1)
    ]
    asked = order.config["audio"]
    sound = Step(
        name="sound",
        agent_id=SOUNDSCAPE_ID,
        after=("captions",) if asked == "speech" else (),
        make=_speech if asked == "speech" else _music,
        required=False,
        weight=2,
    )
    parts = [*images, *([] if asked == "none" else [sound])]
    cut = Step(name="cut", agent_id=CLIP_MAKER_ID, make=_cut, weight=4)
    return [Step(name="captions", agent_id=OUTLINE_WRITER_ID, make=_captions), *parts, cut]


def captions(text: str, *, count: int) -> list[tuple[str, str]]:
    """A heading and a text for each of so many scenes, from what was written about them."""
    found = [(one["title"].strip(" *#"), " ".join(one["text"].split())) for one in _SECTION.finditer(text)]
    if not found:
        lines = [line.strip(" #*-") for line in text.splitlines() if line.strip(" #*-")]
        found = [(line[:TITLE_CHARS_MAX], line) for line in lines] or [("", "")]
    return [found[number % len(found)] for number in range(count)]


def _captions(order: Order, _made: Made) -> Work:
    # The closing section stands for the last scene: what is shorter than an outline shows its beginning.
    config: dict[str, Any] = {"style": "outline", "sections": max(SECTIONS_MIN, int(order.config["scenes"]))}
    return Work(prompt=order.input["prompt"], config=config | _seed(order))


def _image(order: Order, made: Made, *, number: int) -> Work:
    title, text = _written(order, made)[number - 1]
    width, height = (int(part) for part in order.config["resolution"].split("x"))
    config: dict[str, Any] = {"style": "poster", "title": title[:TITLE_CHARS_MAX], "width": width, "height": height}
    prompt = f"{order.input['prompt']}\n{title}\n{text}"[:PROMPT_CHARS_MAX]
    return Work(prompt=prompt, config=config | _chosen(order, "palette") | _seed(order, number))


def _music(order: Order, _made: Made) -> Work:
    config: dict[str, Any] = (
        {"mode": "music", "durationSeconds": _seconds(order)} | _chosen(order, "mood") | _seed(order)
    )
    return Work(prompt=order.input["prompt"], config=config)


def _speech(order: Order, made: Made) -> Work:
    spoken = " ".join(f"{title}. {text}" for title, text in _written(order, made))
    return Work(prompt=spoken[:SPOKEN_CHARS_MAX], config={"mode": "speech"})


def _cut(order: Order, made: Made) -> Work:
    images = [output for name in sorted(made, key=_number) if name.startswith("image-") for output in made[name][:1]]
    sound = made.get("sound", ())[:1]
    heard = max((float(one["metadata"].get("durationSeconds", 0)) for one in sound), default=0.0)
    seconds = min(SECONDS_MAX, max(_seconds(order), heard))
    config: dict[str, Any] = {"durationSeconds": seconds, "resolution": order.config["resolution"]}
    return Work(
        prompt=order.input["prompt"],
        config=config | _chosen(order, "palette") | _seed(order),
        sources={"images": images, "audio": sound} if sound else {"images": images},
    )


def _written(order: Order, made: Made) -> list[tuple[str, str]]:
    return captions(str(made["captions"][0].get("text", "")), count=int(order.config["scenes"]))


def _seconds(order: Order) -> float:
    return min(SECONDS_MAX, max(SECONDS_MIN, int(order.config["scenes"]) * float(order.config["secondsPerScene"])))


def _chosen(order: Order, name: str) -> dict[str, Any]:
    value = order.config.get(name)
    return {} if value in _CHOSEN else {name: value}


def _seed(order: Order, number: int = 0) -> dict[str, Any]:
    seed = order.config.get("seed")
    return {} if seed is None else {"seed": (int(seed) + number) % 2**31}


def _number(name: str) -> int:
    digits = name.rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0


STORY_VIDEO: Final = Workflow(name="story-video", steps=steps)
WORKFLOWS: Final = {STORY_VIDEO.name: STORY_VIDEO}
