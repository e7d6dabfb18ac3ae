"""Sound files as samples, of the length that a film has."""

import importlib
import io
from typing import Any, Final

import numpy as np

from atelier.providers.contract import ProviderRejected
from atelier.providers.sound.files import Pcm
from atelier.providers.sound.voices import RATE

_FADE_SECONDS: Final = 0.6


def read(data: bytes, *, seconds: float) -> Pcm:
    """The first so many seconds, in two columns, fading at the end and followed by silence where there is too little.

    Raises ProviderRejected when it is no sound.
    """
    av: Any = importlib.import_module("av")
    wanted = round(seconds * RATE)
    parts: list[Pcm] = []
    count = 0
    try:
        with av.open(io.BytesIO(data)) as file:
            resampler = av.AudioResampler(format="s16", layout="stereo", rate=RATE)
            for frame in file.decode(audio=0):
                for part in resampler.resample(frame):
                    parts.append(part.to_ndarray().reshape(-1, 2))
                    count += parts[-1].shape[0]
                if count >= wanted:
                    break
    except (av.FFmpegError, IndexError, StopIteration) as error:
        message = "the sound can't be read"
        raise ProviderRejected(message) from error
    heard = np.concatenate(parts)[:wanted] if parts else np.zeros((0, 2), np.int16)
    fading = min(heard.shape[0], round(_FADE_SECONDS * RATE))
    if fading:
        quieter = np.linspace(1, 0, fading)[:, None]
        heard[-fading:] = np.rint(heard[-fading:] * quieter).astype(np.int16)
    return np.concatenate([heard, np.zeros((wanted - heard.shape[0], 2), np.int16)])
