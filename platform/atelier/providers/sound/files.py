"""Sound as a file: WAV by the standard library, Opus and AAC by PyAV."""

import importlib
import io
import wave
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from atelier.providers.sound.voices import Samples

CONTENT_TYPES: Final = {"wav": "audio/wav", "opus": "audio/ogg", "aac": "audio/mp4"}

Pcm = NDArray[np.int16]


def encode(samples: Samples, *, rate: int, kind: str, check: Callable[[], None]) -> bytes:
    """Return one or two columns of samples between -1 and 1 as a file of the kind "wav", "opus" or "aac".

    `check` is called about once for every second of sound that is compressed.
    """
    pcm = to_pcm(samples)
    return _wav(pcm, rate) if kind == "wav" else _compressed(pcm, rate, kind, check=check)


def to_pcm(samples: Samples) -> Pcm:
    """Return samples as 16-bit numbers with a dither of one step, so that quiet endings fade instead of crackling."""
    dither = np.random.default_rng(samples.shape[0]).triangular(-1, 0, 1, samples.shape)
    return np.clip(np.rint(samples * 32_766 + dither), -32_768, 32_767).astype(np.int16)


def _wav(pcm: Pcm, rate: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(pcm.shape[1])
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(pcm.astype("<i2").tobytes())
    return file.getvalue()


def _compressed(pcm: Pcm, rate: int, kind: str, *, check: Callable[[], None]) -> bytes:
    # PyAV brings all of FFmpeg into the process: whoever only writes WAV does not pay for it.
    av: Any = importlib.import_module("av")
    container, codec, codec_rate = {"opus": ("ogg", "libopus", 48_000), "aac": ("mp4", "aac", 44_100)}[kind]
    file = io.BytesIO()
    # Without "bitexact" the Ogg writer draws a random serial number, and equal seeds would give unequal bytes.
    with av.open(file, "w", format=container, options={"fflags": "+bitexact"}) as out:
        stream = out.add_stream(codec, rate=codec_rate)
        stream.bit_rate = 64_000 * pcm.shape[1]
        stream.layout = "stereo" if pcm.shape[1] == 2 else "mono"
        for number, frame in enumerate(audio_frames(av, pcm, rate=rate, like=stream)):
            if number % 40 == 0:
                check()
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


def audio_frames(av: Any, pcm: Pcm, *, rate: int, like: Any) -> Iterator[Any]:
    """Yield the samples as frames in the format, rate and size that an encoder's stream wants."""
    layout = "stereo" if pcm.shape[1] == 2 else "mono"
    resampler = av.AudioResampler(
        format=like.format.name, layout=layout, rate=like.rate, frame_size=like.codec_context.frame_size or 1024
    )
    for start in range(0, pcm.shape[0], rate):
        part = np.ascontiguousarray(pcm[start : start + rate]).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(part, format="s16", layout=layout)
        frame.sample_rate = rate
        frame.pts = start
        yield from resampler.resample(frame)
    yield from resampler.resample(None)
