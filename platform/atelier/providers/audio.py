"""The local sound maker: a synthesised music bed, or the prompt read aloud where the speech engine is installed."""

import numpy as np

from atelier.providers.contract import GenerationRequest, GenerationResult, Output, RunContext
from atelier.providers.errors import ParameterInvalid
from atelier.providers.parameters import Parameters
from atelier.providers.schemas import AUDIO
from atelier.providers.seeds import seed_of
from atelier.providers.sound import bed, files, score, speech
from atelier.providers.sound.voices import RATE, Samples

INPUT_SCHEMA = AUDIO.input
CONFIG_SCHEMA = AUDIO.config
DEFAULT_CONFIG = AUDIO.defaults

_LONGEST_SPOKEN = 2000


class LocalAudio:
    """One WAV, Opus or AAC file. Equal seed and parameters give equal bytes of music; speech varies by a hair."""

    name: str = "local-audio"

    def __init__(self, *, speech_package: str = speech.PACKAGE) -> None:
        self._speech_package = speech_package

    def run(self, request: GenerationRequest, context: RunContext) -> GenerationResult:
        """Make music of the asked length, or speech as long as the prompt takes to read."""
        parameters = Parameters(request.parameters, CONFIG_SCHEMA)
        make = self._speech if parameters.text("mode") == "speech" else _music
        samples, rate, about = make(request, parameters, context)
        kind = parameters.text("format")
        context.progress(0.94, "encode")
        data = files.encode(samples, rate=rate, kind=kind, check=context.check)
        context.progress(1.0, "encode")
        metadata = {**about, "durationSeconds": round(samples.shape[0] / rate, 3), "format": kind}
        output = Output(type="audio", content_type=files.CONTENT_TYPES[kind], data=data, metadata=metadata)
        return GenerationResult(outputs=(output,))

    def _speech(
        self, request: GenerationRequest, parameters: Parameters, context: RunContext
    ) -> tuple[Samples, int, dict[str, object]]:
        if len(request.prompt) > _LONGEST_SPOKEN:
            raise ParameterInvalid(f"a text above {_LONGEST_SPOKEN} characters is not read aloud", parameter="prompt")
        asked = parameters.text("voice")
        voice = asked if asked != "auto" else speech.voice_for(request.prompt)
        context.progress(0.05, "speech")
        samples, rate = speech.speak(request.prompt, voice=voice, check=context.check, package=self._speech_package)
        return samples, rate, {"mode": "speech", "voice": voice}


def _music(
    request: GenerationRequest, parameters: Parameters, context: RunContext
) -> tuple[Samples, int, dict[str, object]]:
    seed = seed_of(request, parameters)
    asked = parameters.text("mood")
    mood = asked if asked != "auto" else score.mood_for(request.prompt, np.random.default_rng([seed, 0]))
    wanted = score.mood(mood)
    tempo = max(40, parameters.integer("tempo") or wanted.tempo)
    seconds = parameters.number("durationSeconds")
    samples = bed.make_bed(wanted, tempo=tempo, seconds=seconds, seed=seed, step=context.progress)
    return samples, RATE, {"mode": "music", "seed": seed, "mood": mood, "tempo": tempo}
