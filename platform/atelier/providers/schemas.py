"""The JSON Schemas (draft 2020-12) of what every provider takes. No heavy import, so a catalogue can read them freely.

`input` describes a job's `inputData`, `config` its `config`, `defaults` what an agent's `defaultConfig` starts from.
Titles are English; `x-title-zh` carries the Chinese one.
"""

from dataclasses import dataclass
from typing import Any, Final

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
MAX_PROMPT: Final = 4000
MAX_SEED: Final = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSchemas:
    """What one provider takes: `parameters` of a request are its config, already merged with `defaults`."""

    input: dict[str, Any]
    config: dict[str, Any]
    defaults: dict[str, Any]


def _object(properties: dict[str, dict[str, Any]], *required: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"$schema": DIALECT, "type": "object", "properties": properties}
    if required:
        schema["required"] = list(required)
    return schema | {"additionalProperties": False}


def _integer(title: str, zh: str, low: int, high: int, *, default: int | None = None) -> dict[str, Any]:
    return _property("integer", title, zh, default) | {"minimum": low, "maximum": high}


def _number(title: str, zh: str, low: float, high: float, *, default: float | None = None) -> dict[str, Any]:
    return _property("number", title, zh, default) | {"minimum": low, "maximum": high}


def _choice(title: str, zh: str, options: tuple[str, ...], *, default: str | None = None) -> dict[str, Any]:
    return _property("string", title, zh, default) | {"enum": list(options), "maxLength": max(map(len, options))}


def _text(title: str, zh: str, longest: int, *, default: str | None = None) -> dict[str, Any]:
    return _property("string", title, zh, default) | {"maxLength": longest}


def _property(kind: str, title: str, zh: str, default: object) -> dict[str, Any]:
    rule: dict[str, Any] = {"type": kind, "title": title, "x-title-zh": zh}
    return rule if default is None else rule | {"default": default}


def _schemas(properties: dict[str, dict[str, Any]]) -> ProviderSchemas:
    """Every provider takes one prompt; its config's defaults are those of the properties."""
    defaults = {name: rule["default"] for name, rule in properties.items() if "default" in rule}
    return ProviderSchemas(input=_PROMPT, config=_object(properties), defaults=defaults)


# A prompt of nothing but blanks would cost credits for nothing, so one visible character is asked for.
_PROMPT: Final = _object(
    {"prompt": _text("Prompt", "提示词", MAX_PROMPT) | {"minLength": 1, "pattern": r"\S"}},
    "prompt",
)

_SEED: Final = _integer("Seed", "随机种子", 0, MAX_SEED)

PALETTES: Final = ("dusk", "aurora", "paper", "ember", "sea", "mono", "spring", "candy", "ink", "desert")
SCENES: Final = ("ridges", "sea", "silk", "orbits", "bloom", "skyline")
MOODS: Final = ("calm", "bright", "dark", "playful")

ECHO: Final = _schemas(
    {
        "delayMs": _integer("Delay in all, ms", "总延迟（毫秒）", 0, 600_000, default=0),
        "steps": _integer("Steps", "步数", 1, 100, default=1),
        "fail": _choice("Fail", "失败方式", ("transient", "permanent")),
        "failTimes": _integer("Failing attempts", "失败次数", 0, 100),
    }
)

OUTLINE: Final = _schemas({"sections": _integer("Sections", "章节数", 3, 6, default=5)})

TEXT: Final = _schemas(
    {
        "style": _choice("Style", "写法", ("outline", "free"), default="outline"),
        "sections": _integer("Sections", "章节数", 3, 6, default=5),
        "maxTokens": _integer("Longest answer, tokens", "最大长度（词元）", 64, 1024, default=400),
        "temperature": _number("Temperature", "随机性", 0, 2, default=0.5),
        "seed": _SEED,
    }
)

IMAGE: Final = _schemas(
    {
        "style": _choice("Style", "样式", ("poster", "cover", "pattern", "gradient"), default="poster"),
        "scene": _choice("Scene", "画面", ("auto", *SCENES), default="auto"),
        "palette": _choice("Palette", "配色", ("auto", *PALETTES), default="auto"),
        "title": _text("Title", "标题", 80, default=""),
        "subtitle": _text("Subtitle", "副标题", 120, default=""),
        "width": _integer("Width, px", "宽度（像素）", 256, 2048, default=1024),
        "height": _integer("Height, px", "高度（像素）", 256, 2048, default=1024),
        "seed": _SEED,
    }
)

AUDIO: Final = _schemas(
    {
        "mode": _choice("Mode", "模式", ("music", "speech"), default="music"),
        "durationSeconds": _number("Length of music, s", "音乐时长（秒）", 2, 60, default=12),
        "tempo": _integer("Tempo, beats per minute (0: by mood)", "速度（每分钟拍数，0 为自动）", 0, 180, default=0),
        "mood": _choice("Mood", "情绪", ("auto", *MOODS), default="auto"),
        "format": _choice("Format", "格式", ("wav", "opus", "aac"), default="wav"),
        "voice": _choice("Voice of speech", "语音", ("auto", "en", "zh"), default="auto"),
        "seed": _SEED,
    }
)

VIDEO: Final = _schemas(
    {
        "durationSeconds": _number("Length, s", "时长（秒）", 2, 20, default=6),
        "resolution": _choice("Size", "分辨率", ("640x360", "960x540", "1280x720"), default="960x540"),
        "framesPerSecond": _integer("Frames per second", "帧率", 12, 30, default=24),
        "scene": _choice("Scene", "画面", ("auto", *SCENES), default="auto"),
        "palette": _choice("Palette", "配色", ("auto", *PALETTES), default="auto"),
        "mood": _choice("Mood of the music", "音乐情绪", ("auto", *MOODS), default="auto"),
        "title": _text("Title", "标题", 80, default=""),
        "seed": _SEED,
    }
)

STORY: Final = _schemas(
    {
        "scenes": _integer("Scenes", "幕数", 2, 6, default=3),
        "secondsPerScene": _number("Length of a scene, s", "每幕时长（秒）", 1, 3, default=2),
        "resolution": _choice("Size", "分辨率", ("640x360", "960x540", "1280x720"), default="960x540"),
        "audio": _choice("Sound", "声音", ("music", "speech", "none"), default="music"),
        "mood": _choice("Mood of the music", "音乐情绪", ("auto", *MOODS), default="auto"),
        "palette": _choice("Palette", "配色", ("auto", *PALETTES), default="auto"),
        "seed": _SEED,
    }
)

OPENAI_CHAT: Final = _schemas(
    {
        "system": _text("Instructions", "系统指令", 4000, default=""),
        "maxTokens": _integer("Longest answer, tokens", "最大长度（词元）", 1, 16_384, default=1024),
        "temperature": _number("Temperature", "随机性", 0, 2),
        "topP": _number("Top p", "核采样", 0, 1),
        "seed": _SEED,
    }
)

OPENAI_IMAGES: Final = _schemas(
    {
        "n": _integer("Images", "张数", 1, 4, default=1),
        "size": _text("Size", "尺寸", 16, default="1024x1024") | {"pattern": r"^(auto|[1-9]\d{1,3}x[1-9]\d{1,3})$"},
        "quality": _choice("Quality", "质量", ("auto", "low", "medium", "high", "standard", "hd")),
        "background": _choice("Background", "背景", ("auto", "opaque", "transparent")),
        "responseFormat": _choice("Answer as", "返回方式", ("url", "b64_json")),
    }
)

OPENAI_SPEECH: Final = _schemas(
    {
        "voice": _text("Voice", "语音", 64, default="alloy") | {"pattern": "^[A-Za-z0-9_.-]+$"},
        "format": _choice("Format", "格式", ("mp3", "opus", "aac", "flac", "wav"), default="mp3"),
        "speed": _number("Speed", "语速", 0.25, 4, default=1),
        "instructions": _text("Instructions", "语气说明", 1000, default=""),
    }
)

KLING: Final = _schemas(
    {
        "durationSeconds": _integer("Length, s (5 or 10)", "时长（秒，5 或 10）", 5, 10, default=5),
        "mode": _choice("Mode", "模式", ("std", "pro"), default="std"),
        "aspectRatio": _choice("Aspect ratio", "画面比例", ("16:9", "9:16", "1:1"), default="16:9"),
        "negativePrompt": _text("What to leave out", "反向提示词", 2_500, default=""),
    }
)
