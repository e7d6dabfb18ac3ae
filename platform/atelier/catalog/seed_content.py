"""What a fresh marketplace holds: categories, and agents that run without any key.

Ids are fixed, so that every installation has the same ones. Changing what an agent runs makes a new version of it.
Descriptions and tags are what search looks into, so both speak Chinese and English.
"""

from dataclasses import dataclass
from typing import Final

from atelier.catalog.service import Content, Shown
from atelier.contracts.queues import WORKFLOW
from atelier.providers import schemas
from atelier.providers.schemas import ProviderSchemas

# The creator of the seeded agents. It is no account: nobody signs in as the house.
HOUSE_ID: Final = "01990000-0000-7000-8000-000000000001"
HOUSE_USERNAME: Final = "atelier"
HOUSE_NAME: Final = "创意工作坊 · Atelier"


def _id(number: int) -> str:
    return f"01990000-0000-7000-8000-{number:012x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedCategory:
    """A category. `color` is #rrggbb."""

    id: str
    slug: str
    name_zh: str
    name_en: str
    color: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedAgent:
    """An agent of the house, paid per use. `tags` maps names to ids."""

    id: str
    slug: str
    kind: str
    category: SeedCategory
    name: str
    description: str
    detailed_description: str
    capabilities: tuple[str, ...]
    tags: dict[str, str]
    credits_per_use: int
    provider: str
    schemas: ProviderSchemas
    model: str = ""

    @property
    def shown(self) -> Shown:
        """Its page in the marketplace."""
        return Shown(
            slug=self.slug,
            creator_id=HOUSE_ID,
            category_id=self.category.id,
            name=self.name,
            description=self.description,
            detailed_description=self.detailed_description,
            price_type="pay_per_use",
            base_price=None,
            credits_per_use=self.credits_per_use,
            capabilities=self.capabilities,
            supported_languages=("zh", "en"),
            input_types=("text",),
            output_types=(self.kind,),
        )

    @property
    def content(self) -> Content:
        """What it runs."""
        return Content(
            kind=self.kind,
            input_schema=self.schemas.input,
            config_schema=self.schemas.config,
            default_config=self.schemas.defaults,
            runtime={
                "provider": self.provider,
                "model": self.model,
                "promptTemplate": "{{prompt}}",
                "parameterMapping": {},
            },
            price_type="pay_per_use",
            credits_per_use=self.credits_per_use,
        )


_WRITING = SeedCategory(id=_id(0x101), slug="writing", name_zh="文案写作", name_en="Writing", color="#2563eb")
_IMAGE = SeedCategory(id=_id(0x102), slug="image", name_zh="图像设计", name_en="Images", color="#db2777")
_AUDIO = SeedCategory(id=_id(0x103), slug="audio", name_zh="音乐音频", name_en="Audio", color="#059669")
_VIDEO = SeedCategory(id=_id(0x104), slug="video", name_zh="视频创作", name_en="Video", color="#d97706")
_TOOLS = SeedCategory(id=_id(0x105), slug="tools", name_zh="开发工具", name_en="Developer tools", color="#64748b")

CATEGORIES: Final = (_WRITING, _IMAGE, _AUDIO, _VIDEO, _TOOLS)

_LOCAL: Final = {"本地运行": _id(0x201), "local": _id(0x20B)}

OUTLINE_WRITER_ID: Final = _id(0x301)
POSTER_MAKER_ID: Final = _id(0x302)
SOUNDSCAPE_ID: Final = _id(0x303)
CLIP_MAKER_ID: Final = _id(0x304)

AGENTS: Final = (
    SeedAgent(
        id=OUTLINE_WRITER_ID,
        slug="outline-writer",
        kind="text",
        category=_WRITING,
        name="提纲写手",
        description=(
            "把一个想法变成条理清晰的写作提纲，适合文章、演讲、课程和方案，几秒完成。 "
            "Turns one idea into a clear outline for an article, a talk, a course or a plan, in seconds."
        ),
        detailed_description=(
            "输入一句话的主题，得到分节的提纲：每节有要点和写作提示，可直接展开成文。支持中文与英文，"
            "在本机运行，内容不会离开服务器。\n\n"
            "Outline Writer turns one idea into a clear outline for an article, a talk, a course or a plan. Each"
            " section comes with its points and a hint for writing it out. It runs locally, in Chinese and English."
        ),
        capabilities=("提纲", "写作", "头脑风暴"),
        tags={"写作": _id(0x202), "writing": _id(0x20C), "提纲": _id(0x203), "outline": _id(0x20D), **_LOCAL},
        credits_per_use=2,
        provider="local-text",
        schemas=schemas.TEXT,
    ),
    SeedAgent(
        id=POSTER_MAKER_ID,
        slug="poster-maker",
        kind="image",
        category=_IMAGE,
        name="海报工坊",
        description=(
            "根据一句描述绘制海报、封面或图案，可指定标题、配色和画面，同一种子结果一致。 "
            "Draws a poster, a cover or a pattern from one sentence; the same seed gives the same picture."
        ),
        detailed_description=(
            "描述想要的气氛与内容，选择样式、画面和配色，得到一张高清 PNG。标题支持中文；"
            "填入随机种子即可复现同一张图。\n\n"
            "Poster Maker draws a poster, a cover or a pattern from one sentence. Pick a style, a scene and a palette,"
            " add a title and a subtitle. The same seed always gives the same picture. It runs locally."
        ),
        capabilities=("海报", "封面", "图案"),
        tags={"海报": _id(0x204), "poster": _id(0x20E), "设计": _id(0x205), "design": _id(0x20F), **_LOCAL},
        credits_per_use=5,
        provider="local-image",
        schemas=schemas.IMAGE,
    ),
    SeedAgent(
        id=SOUNDSCAPE_ID,
        slug="soundscape",
        kind="audio",
        category=_AUDIO,
        name="声音风景",
        description=(
            "按情绪、速度和时长合成一段原创背景音乐，适合视频、播客和专注时刻。 "
            "Composes an original music bed from a mood, a tempo and a length: sound for films, podcasts and focus."
        ),
        detailed_description=(
            "写下想要的氛围，选择情绪、速度与时长，得到一段原创的背景音乐（WAV、Opus 或 AAC）。"
            "装有语音组件时，还可以把文字读出来。\n\n"
            "Soundscape synthesises an original music bed from a mood, a tempo and a length, as WAV, Opus or AAC."
            " Where the speech component is installed it can also read a text aloud. It runs locally."
        ),
        capabilities=("背景音乐", "氛围音", "语音"),
        tags={"音乐": _id(0x206), "music": _id(0x210), "配乐": _id(0x207), "sound": _id(0x211), **_LOCAL},
        credits_per_use=4,
        provider="local-audio",
        schemas=schemas.AUDIO,
    ),
    SeedAgent(
        id=CLIP_MAKER_ID,
        slug="clip-maker",
        kind="video",
        category=_VIDEO,
        name="短片工坊",
        description=(
            "把一句话变成带配乐的动态短片，MP4 格式，可选尺寸、时长、画面和配色。 "
            "Turns one sentence into a moving video clip with a score of its own, as MP4 in three sizes."
        ),
        detailed_description=(
            "输入主题，选择画面、配色和情绪，得到一段带原创配乐的 MP4 短片，可直接用作片头或社交媒体背景。\n\n"
            "Clip Maker turns one sentence into a moving clip with its own music: an MP4 with H.264 and AAC, 2 to 20"
            " seconds long, in three sizes. It runs locally."
        ),
        capabilities=("短片", "片头", "动态背景"),
        tags={"短视频": _id(0x208), "video": _id(0x212), "片头": _id(0x209), "clip": _id(0x213), **_LOCAL},
        credits_per_use=10,
        provider="local-video",
        schemas=schemas.VIDEO,
    ),
    SeedAgent(
        id=_id(0x305),
        slug="story-video",
        kind="video",
        category=_VIDEO,
        name="故事影片",
        description=(
            "把一句话讲成一个故事：写文案、逐幕作画、配乐或朗读，剪成一部影片，一口价。 "
            "One sentence told as a story: captions, a picture a scene and a score, cut into a film at one price."
        ),
        detailed_description=(
            "写下故事的主题，选择幕数、画面尺寸和声音：先写出每一幕的文案，再逐幕作画、配乐或朗读，最后剪成一部 MP4。"
            "任何一步失败都不收费；只是缺少声音时，得到一部无声影片。\n\n"
            "Story Video writes captions for your story, draws a picture for every scene, adds a score or a voice, and"
            " cuts an MP4 from all of them. If a step fails nothing is charged; without a score the film is silent."
        ),
        capabilities=("故事", "分镜", "成片"),
        tags={"故事": _id(0x215), "story": _id(0x216), "分镜": _id(0x217), "scenes": _id(0x218), **_LOCAL},
        credits_per_use=25,
        provider=WORKFLOW,
        model="story-video",
        schemas=schemas.STORY,
    ),
)

# For tests, benchmarks and for trying the API: never outside development.
ECHO: Final = SeedAgent(
    id=_id(0x3FF),
    slug="echo",
    kind="text",
    category=_TOOLS,
    name="回声",
    description=(
        "原样返回输入的提示词，可设定延迟、步数与失败方式，用于开发和测试。 "
        "Gives the prompt back, as slowly and as unreliably as asked, for development and tests."
    ),
    detailed_description=(
        "Echo gives the prompt back, as slowly and as unreliably as its config asks: `delayMs` (in all), `steps`,"
        " `fail` (`transient` or `permanent`) and `failTimes`. It exists in development only."
    ),
    capabilities=("测试",),
    tags={"测试": _id(0x20A), "test": _id(0x214), **_LOCAL},
    credits_per_use=1,
    provider="echo",
    schemas=schemas.ECHO,
)
