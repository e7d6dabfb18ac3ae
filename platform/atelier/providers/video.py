"""The local film maker: painted shots with a moving camera, a title and a music bed, as H.264 and AAC in an MP4.

Given pictures as sources, it makes a film of those, with the sound that comes with them, or silent without.
"""

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from av.video.reformatter import Colorspace
from PIL import Image

from atelier.providers.art.compose import Design, about, design
from atelier.providers.art.fonts import FontBook
from atelier.providers.art.motion import Clip, film, slides
from atelier.providers.contract import (
    GenerationRequest,
    GenerationResult,
    Output,
    ProviderRejected,
    RunContext,
    Source,
)
from atelier.providers.parameters import Parameters
from atelier.providers.schemas import VIDEO
from atelier.providers.seeds import seed_of
from atelier.providers.sound import bed, reading, score
from atelier.providers.sound.files import Pcm, audio_frames, to_pcm
from atelier.providers.sound.voices import RATE

INPUT_SCHEMA = VIDEO.input
CONFIG_SCHEMA = VIDEO.config
DEFAULT_CONFIG = VIDEO.defaults

_BT709: Final = 1
_LIMITED_RANGE: Final = 1
_FRAMES_A_REPORT: Final = 8


class LocalVideo:
    """One MP4 of 2 to 20 seconds that starts playing before it is loaded whole. Equal seeds give equal films."""

    name: str = "local-video"

    def __init__(self, fonts: FontBook | None = None) -> None:
        self._fonts = fonts or FontBook()

    def run(self, request: GenerationRequest, context: RunContext) -> GenerationResult:
        """Paint the shots, play the music, encode both together; or only the last, of what was made before."""
        if request.sources.get("images"):
            return self._cut(request, context)
        parameters = Parameters(request.parameters, CONFIG_SCHEMA)
        wanted = _design(request, parameters)
        seconds = parameters.number("durationSeconds")
        rate = parameters.integer("framesPerSecond")
        clip = film(wanted, fonts=self._fonts, seconds=seconds, step=context.progress, check=context.check)
        mood, music = _music(request, parameters, wanted.seed, context)
        data = _encode(clip, music, rate=rate, context=context)
        context.progress(1.0, "frames")
        metadata = about(wanted, self._fonts) | {"durationSeconds": seconds, "framesPerSecond": rate, "mood": mood}
        del metadata["style"]  # A film has none: it is a parameter of still pictures.
        return GenerationResult(
            outputs=(Output(type="video", content_type="video/mp4", data=data, metadata=metadata),),
        )

    def _cut(self, request: GenerationRequest, context: RunContext) -> GenerationResult:
        parameters = Parameters(request.parameters, CONFIG_SCHEMA)
        wanted = _design(request, parameters)
        seconds = parameters.number("durationSeconds")
        rate = parameters.integer("framesPerSecond")
        pictures = [_picture(one) for one in request.sources["images"]]
        clip = slides(pictures, wanted, seconds=seconds, check=context.check)
        sound = [reading.read(one.data, seconds=seconds) for one in request.sources.get("audio", ())[:1]]
        data = _encode(clip, sound[0] if sound else None, rate=rate, context=context)
        context.progress(1.0, "frames")
        metadata: dict[str, Any] = {"seed": wanted.seed, "durationSeconds": seconds, "framesPerSecond": rate}
        metadata |= {"width": wanted.width, "height": wanted.height, "scenes": len(pictures), "sound": bool(sound)}
        return GenerationResult(
            outputs=(Output(type="video", content_type="video/mp4", data=data, metadata=metadata),),
        )


def _picture(source: Source) -> Image.Image:
    try:
        return Image.open(io.BytesIO(source.data)).convert("RGB")
    except (OSError, Image.DecompressionBombError) as error:
        message = "a picture can't be read"
        raise ProviderRejected(message) from error


def _design(request: GenerationRequest, parameters: Parameters) -> Design:
    width, height = (int(part) for part in parameters.text("resolution").split("x"))
    return design(
        request.prompt,
        style="poster",
        scene=parameters.text("scene"),
        palette=parameters.text("palette"),
        title=parameters.text("title"),
        subtitle="",
        size=(width, height),
        seed=seed_of(request, parameters),
    )


def _music(request: GenerationRequest, parameters: Parameters, seed: int, context: RunContext) -> tuple[str, Pcm]:
    asked = parameters.text("mood")
    name = asked if asked != "auto" else score.mood_for(request.prompt, np.random.default_rng([seed, 0]))
    wanted = score.mood(name)

    def step(fraction: float, _name: str) -> None:
        context.progress(0.28 + 0.10 * fraction, "music")

    seconds = parameters.number("durationSeconds")
    return name, to_pcm(bed.make_bed(wanted, tempo=wanted.tempo, seconds=seconds, seed=seed, step=step))


def _encode(clip: Clip, music: Pcm | None, *, rate: int, context: RunContext) -> bytes:
    # To put the index first, FFmpeg reads its own output again by name: a buffer in memory has none.
    with tempfile.TemporaryDirectory(prefix="atelier-video-") as folder:
        path = Path(folder) / "film.mp4"
        options = {"movflags": "+faststart", "fflags": "+bitexact"}
        with av.open(str(path), "w", format="mp4", options=options) as out:
            picture = _pictures(out, clip, rate)
            sound = None if music is None else _sounds(out)
            waiting = iter(()) if music is None else audio_frames(av, music, rate=RATE, like=sound)
            heard = 0.0
            for second, frame in _frames(clip, rate, context):
                out.mux(picture.encode(frame))
                # Sound follows the picture closely, so that neither has to wait in memory for the other.
                while sound and heard <= second and (note := next(waiting, None)) is not None:
                    heard += note.samples / sound.rate
                    out.mux(sound.encode(note))
            out.mux(picture.encode(None))
            if sound:
                for note in waiting:
                    out.mux(sound.encode(note))
                out.mux(sound.encode(None))
        return path.read_bytes()


def _pictures(out: Any, clip: Clip, rate: int) -> Any:
    picture = out.add_stream("libx264", rate=rate, options={"crf": "21", "preset": "veryfast"})
    picture.width, picture.height = clip.size
    picture.pix_fmt = "yuv420p"
    coder = picture.codec_context
    coder.colorspace = coder.color_primaries = coder.color_trc = _BT709
    coder.color_range = _LIMITED_RANGE
    # The number of threads changes the bytes: it is fixed, not taken from the machine.
    coder.thread_count = 2
    return picture


def _sounds(out: Any) -> Any:
    sound = out.add_stream("aac", rate=RATE)
    sound.bit_rate = 128_000
    sound.layout = "stereo"
    return sound


def _frames(clip: Clip, rate: int, context: RunContext) -> Iterator[tuple[float, av.VideoFrame]]:
    """Yield every frame with its moment, reporting progress by batches and leaving when the attempt must end."""
    count = round(clip.seconds * rate)
    for number in range(count):
        context.check()
        if number % _FRAMES_A_REPORT == 0:
            context.progress(0.38 + 0.60 * number / count, "frames")
        rgb = av.VideoFrame.from_ndarray(np.asarray(clip.frame(number / rate)), format="rgb24")
        frame = rgb.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
        frame.pts = number
        yield number / rate, frame
