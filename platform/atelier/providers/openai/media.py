"""Images and speech of an OpenAI-compatible endpoint: the providers "openai-images" and "openai-speech"."""

import base64
import json
from typing import Any, Final

import httpx

from atelier.providers.contract import GenerationRequest, GenerationResult, Output, RunContext
from atelier.providers.errors import BadAnswer, ModelMissing, ParameterInvalid
from atelier.providers.openai.client import Endpoint, OpenAIClient, read_capped
from atelier.providers.openai.links import fetch
from atelier.providers.parameters import Parameters
from atelier.providers.schemas import OPENAI_IMAGES, OPENAI_SPEECH

_LONGEST_IMAGE: Final = 32_000_000
_LONGEST_SPEECH: Final = 64_000_000
_LONGEST_SPOKEN: Final = 4096

IMAGE_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", 0, "image/png"),
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"WEBP", 8, "image/webp"),
)
AUDIO_TYPES: Final = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
}


class OpenAIImages:
    """`/images/generations`: base64 as it comes, links fetched at once because they die within the hour."""

    name: str = "openai-images"

    def __init__(self, endpoint: Endpoint) -> None:
        self._client = OpenAIClient(endpoint)

    def run(self, request: GenerationRequest, context: RunContext) -> GenerationResult:
        """Return the images in the order of the answer."""
        parameters = Parameters(request.parameters, OPENAI_IMAGES.config)
        body: dict[str, Any] = {
            "model": _model(self._client, request),
            "prompt": request.prompt,
            "n": parameters.integer("n"),
            "size": parameters.text("size"),
        }
        optional = {"quality": "quality", "background": "background", "responseFormat": "response_format"}
        body |= {theirs: parameters.text(ours) for ours, theirs in optional.items() if parameters.has(ours)}
        context.progress(0.0, "image")

        async def read(response: httpx.Response) -> list[Output]:
            try:
                answer = json.loads(await read_capped(response, longest=_LONGEST_IMAGE * 2))
                # Whoever sends more than was asked for could fill the worker's memory: each may be a link to 32 MB.
                items = list(answer["data"])[: body["n"]]
                return [await self._image(item, number, len(items), context) for number, item in enumerate(items)]
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                raise BadAnswer("the provider's list of images is malformed") from error

        images = self._client.post("/images/generations", body, request=request, context=context, read=read)
        if not images:
            raise BadAnswer("the provider's answer holds no image")
        return GenerationResult(outputs=tuple(images))

    async def _fetched(self, item: dict[str, Any]) -> bytes:
        """Clients of their own carry no key: the link belongs to whoever stores the provider's files."""
        home, url = self._client.endpoint.base_url, str(item["url"])
        async with self._client.http() as http, self._client.http(direct=True) as direct:
            return await fetch(url, home=home, http=http, direct=direct, longest=_LONGEST_IMAGE)

    async def _image(self, item: dict[str, Any], number: int, count: int, context: RunContext) -> Output:
        encoded = item.get("b64_json")
        data = base64.b64decode(encoded, validate=True) if encoded else await self._fetched(item)
        content_type = next((kind for mark, at, kind in IMAGE_SIGNATURES if data[at : at + len(mark)] == mark), None)
        if content_type is None:
            raise BadAnswer("the provider's image is of no known type")
        context.progress((number + 1) / count, "image")
        # The prompt as the endpoint has revised it repeats the agent's template, which is its author's to know.
        return Output(type="image", content_type=content_type, data=data)


class OpenAISpeech:
    """`/audio/speech`: the prompt read aloud."""

    name: str = "openai-speech"

    def __init__(self, endpoint: Endpoint) -> None:
        self._client = OpenAIClient(endpoint)

    def run(self, request: GenerationRequest, context: RunContext) -> GenerationResult:
        """Return one audio file."""
        parameters = Parameters(request.parameters, OPENAI_SPEECH.config)
        if len(request.prompt) > _LONGEST_SPOKEN:
            raise ParameterInvalid(f"a text above {_LONGEST_SPOKEN} characters is not read aloud", parameter="prompt")
        kind = parameters.text("format")
        body: dict[str, Any] = {
            "model": _model(self._client, request),
            "input": request.prompt,
            "voice": parameters.text("voice"),
            "response_format": kind,
            "speed": parameters.number("speed"),
        }
        if parameters.text("instructions"):
            body["instructions"] = parameters.text("instructions")
        context.progress(0.0, "speech")
        data = self._client.post("/audio/speech", body, request=request, context=context, read=_read_speech)
        context.progress(1.0, "speech")
        return GenerationResult(outputs=(Output(type="audio", content_type=AUDIO_TYPES[kind], data=data),))


async def _read_speech(response: httpx.Response) -> bytes:
    data = await read_capped(response, longest=_LONGEST_SPEECH)
    content_type = response.headers.get("content-type", "")
    if not data or content_type.startswith(("application/json", "text/")):
        raise BadAnswer("the provider's answer is no audio")
    return data


def _model(client: OpenAIClient, request: GenerationRequest) -> str:
    model = client.model(request)
    if not model:
        raise ModelMissing("no model is configured")
    return model
