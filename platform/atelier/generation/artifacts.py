"""Results are ours: copied into our own storage before the job counts as completed."""

import hashlib
from typing import Any

from atelier.providers.contract import GenerationResult, Output
from atelier.storage.port import Storage

EXTENSIONS = {
    "text/plain": "txt",
    "text/markdown": "md",
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "audio/wav": "wav",
    "audio/ogg": "ogg",
    "audio/opus": "opus",
    "audio/aac": "aac",
    "audio/mp4": "m4a",
    "audio/flac": "flac",
    "audio/mpeg": "mp3",
    "video/mp4": "mp4",
}
INLINE_BYTES_MAX = 65_536


def keep(storage: Storage, result: GenerationResult, *, folder: str) -> dict[str, Any]:
    """Store every output in the folder and describe them. Short texts stay in the description: they need no file."""
    return {"outputs": [_kept(storage, one, f"{folder}/{number}") for number, one in enumerate(result.outputs)]}


def _kept(storage: Storage, output: Output, stem: str) -> dict[str, Any]:
    described: dict[str, Any] = {
        "type": output.type,
        "contentType": output.content_type,
        "size": len(output.data),
        "sha256": hashlib.sha256(output.data).hexdigest(),
        "metadata": dict(output.metadata),
    }
    if output.type == "text":
        text = output.data.decode()
        if len(output.data) <= INLINE_BYTES_MAX:
            return described | {"text": text}
        # What is paid by its length is measured by this description alone.
        described["characters"] = len(text)
    extension = EXTENSIONS.get(output.content_type.partition(";")[0].strip(), "bin")
    key = f"{stem}.{extension}"
    storage.put(key, output.data, content_type=output.content_type)
    return described | {"key": key}
