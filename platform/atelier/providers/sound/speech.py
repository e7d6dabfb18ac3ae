"""Speech by eSpeak NG, loaded at run time when its optional package is there. Robotic, but real Chinese and English."""

import ctypes
import importlib
import importlib.util
import threading
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np

from atelier.providers.errors import SpeechMissing
from atelier.providers.language import is_chinese
from atelier.providers.sound.voices import Samples

VOICES: Final = {"en": "en-us", "zh": "cmn"}

PACKAGE: Final = "espeakng_loader"
_SYNCHRONOUS: Final = 2
_DO_NOT_EXIT: Final = 0x8000
_UTF8: Final = 1
_RATE_PARAMETER: Final = 1
_WORDS_A_MINUTE: Final = {"en": 165, "zh": 155}
_OK: Final = 0

_Heard = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

# The engine keeps its voice, its callback and its buffers in global variables of the process.
_engine_lock = threading.Lock()


def installed(package: str = PACKAGE) -> bool:
    """Tell whether the optional package is there, without loading it."""
    return importlib.util.find_spec(package) is not None


def voice_for(text: str) -> str:
    """Return "zh" for Chinese text, else "en"."""
    return "zh" if is_chinese(text) else "en"


def speak(text: str, *, voice: str, check: Callable[[], None], package: str = PACKAGE) -> tuple[Samples, int]:
    """Return the spoken text as one column of samples, and its rate per second. `check` is called while speaking.

    Raises SpeechMissing when the engine is not installed or cannot speak the voice; lets what `check` raises pass.
    """
    if not installed(package):
        raise SpeechMissing("speech needs the optional package of the extra 'speech'")
    with _engine_lock:
        engine, rate = _load(package)
        return _synthesise(engine, text, voice, check), rate


@cache
def _load(package: str) -> tuple[Any, int]:
    """Load the engine once per process: starting it a second time leaks its dictionaries."""
    loader: Any = importlib.import_module(package)
    engine = ctypes.CDLL(loader.get_library_path())
    data = str(loader.get_data_path()).encode()
    rate = engine.espeak_Initialize(_SYNCHRONOUS, 0, data, _DO_NOT_EXIT)
    if rate <= 0:
        raise SpeechMissing("the speech engine cannot find its data")
    return engine, rate


def _synthesise(engine: Any, text: str, voice: str, check: Callable[[], None]) -> Samples:
    if engine.espeak_SetVoiceByName(VOICES[voice].encode()) != _OK:
        raise SpeechMissing("the speech engine does not know this voice")
    engine.espeak_SetParameter(_RATE_PARAMETER, _WORDS_A_MINUTE[voice], 0)
    parts: list[Samples] = []
    stopped: list[BaseException] = []

    def heard(wave: Any, count: int, _events: object) -> int:
        # An exception cannot cross the C library: it is kept, and the engine is told to stop.
        try:
            check()
        except BaseException as error:  # noqa: BLE001 - raised again below
            stopped.append(error)
            return 1
        if wave and count > 0:
            parts.append(np.ctypeslib.as_array(wave, shape=(count,)).astype(np.float32) / 32_768)
        return 0

    callback = _Heard(heard)
    engine.espeak_SetSynthCallback(callback)
    spoken = text.encode()
    failed = engine.espeak_Synth(spoken, len(spoken) + 1, 0, 0, 0, _UTF8, None, None)
    if stopped:
        raise stopped[0]
    if failed or not parts:
        raise SpeechMissing("the speech engine could not read the text")
    return np.concatenate(parts)[:, None]
