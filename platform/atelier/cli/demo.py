"""`atelier demo`: the whole platform at work, seen from outside, through the API that everybody uses."""

import asyncio
import os
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click

from atelier.cli import demo_files, demo_purchase, demo_show, doctor, models, occupancy, options, plan
from atelier.cli.console import Stop, line
from atelier.cli.demo_client import Account, Agent, Client, Job
from atelier.cli.demo_show import Bars
from atelier.cli.opened import opened
from atelier.cli.plan import Plan
from atelier.cli.ports import is_free
from atelier.cli.running import Interrupted, Platform, running
from atelier.cli.up import welcome
from atelier.cli.words import language, say
from atelier.kernel.settings import Settings
from atelier.onboarding import operator
from atelier.providers import local_llm
from atelier.providers.errors import WeightsUnavailable

JOB_SECONDS_MAX: Final = 300.0
MODEL_SECONDS_MAX: Final = 60.0
_CREDITS: Final = 100
_INTERRUPTED: Final = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One job of the demo: what is asked of which agent, and what becomes of the answer."""

    slug: str
    file: str
    check: Callable[[Path], str]
    english: str
    chinese: str
    config: dict[str, Any] = field(default_factory=dict[str, Any])


SCENES: Final = (
    Scene(
        slug="outline-writer",
        file="text.md",
        check=demo_files.text,
        english="A weekend workshop where neighbours repair their bicycles together",
        chinese="周末邻里自行车维修工作坊",
    ),
    Scene(
        slug="poster-maker",
        file="image.png",
        check=demo_files.image,
        english="A quiet harbour at dawn, seen from the hills",
        chinese="从山坡望去，黎明时分宁静的港湾",
        config={"width": 1024, "height": 1024},
    ),
    Scene(
        slug="soundscape",
        file="audio.wav",
        check=demo_files.audio,
        english="Rain on a tin roof, calm and slow",
        chinese="铁皮屋顶上的雨声，平静而缓慢",
        config={"format": "wav"},
    ),
    Scene(
        slug="clip-maker",
        file="video.mp4",
        check=demo_files.video,
        english="City lights waking up in the evening",
        chinese="傍晚渐次亮起的城市灯火",
    ),
)


@click.command(
    "demo",
    help=say(
        "Start the platform and make a text, an image, a sound and a video with it, and buy credits, through its public"
        " API. Goes on serving when a terminal watches. DEMO_LLM=0 leaves the language model out.",
        zh="启动平台，通过公开 API 生成文本、图片、音频和视频各一件，并购买积分。"
        "在终端中运行时完成后继续提供服务。DEMO_LLM=0 表示不使用语言模型。",
    ),
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-output"),
    show_default=True,
    help=say("Folder for what is made.", zh="作品保存目录。"),
)
@click.option("--port", type=click.IntRange(0, 65535), help=say("Port of the API.", zh="API 端口。"))
@click.option("--verbose", "-v", is_flag=True, help=say("Show what every role prints.", zh="显示所有角色的日志。"))
@options.data_dir_option
def command(*, output: Path, port: int | None, verbose: bool) -> None:
    """Exit status 1 when a job fails or the doctor finds a violation."""
    settings = _settings(port)
    with occupancy.occupied(settings.data_dir):
        wants_model = os.environ.get("DEMO_LLM", "1") != "0"
        if wants_model:
            _fetch_model(settings)
        asyncio.run(_show(plan.make(settings, wants_model=wants_model), output=output, verbose=verbose))


def _settings(port: int | None) -> Settings:
    """The settings; a port that nobody asked for gives way to whoever has it."""
    settings = options.load(port=port)
    if "port" in settings.model_fields_set or is_free(settings.host, settings.port):
        return settings
    line(
        say(f"Port {settings.port} is in use: taking another one.", zh=f"端口 {settings.port} 已被占用，改用其他端口。")
    )
    return options.load(port=0)


def _fetch_model(settings: Settings) -> None:
    """Fetch the language model if it can run here; without it, the demo goes on."""
    if local_llm.cpu_can_serve() and local_llm.engine_installed() and not local_llm.have_weights(settings.data_dir):
        try:
            models.fetch_shown(settings)
        except WeightsUnavailable as error:
            line(str(error), style="yellow")
    if not models.usable(settings):
        line(
            say(
                f"No language model ({models.state(settings)}): an outline composer writes instead.",
                zh=f"没有语言模型（{models.state(settings)}），文本由提纲编排器生成。",
            ),
            style="yellow",
        )


async def _show(planned: Plan, *, output: Path, verbose: bool) -> None:
    try:
        async with running(planned, verbose=verbose) as platform:
            welcome(platform)
            await platform.unless_stopped(_perform(platform, output=output))
            if sys.stdout.isatty():
                where = planned.address
                line(
                    say(f"Still serving at {where}; Ctrl-C stops it.", zh=f"继续在 {where} 提供服务，按 Ctrl-C 停止。")
                )
                await platform.stopping.wait()
    except Interrupted:
        line(say("Stopped before the demo was over.", zh="演示未完成即已停止。"))
        raise click.exceptions.Exit(_INTERRUPTED) from None


async def _perform(platform: Platform, *, output: Path) -> None:
    planned = platform.plan
    await platform.model_loaded(seconds_max=MODEL_SECONDS_MAX)
    async with Client(planned.address, language=language()) as client:
        agents = await client.agents()
        cast = [(scene, _agent(agents, scene.slug)) for scene in SCENES]
        price = sum(agent.price for _, agent in cast)
        await _signed_in(client, planned.settings, price=price)
        before = await client.balance()
        with Bars() as bars:
            work = [_act(client, bars, scene, agent=agent, planned=planned) for scene, agent in cast]
            jobs = _all(await asyncio.gather(*work, return_exceptions=True))
        made = [await _saved(client, scene, job, output=output) for scene, job in zip(SCENES, jobs, strict=True)]
        demo_show.files(made)
        spent = before - await client.balance()
        if spent != price:
            raise Stop(say(f"{spent} credits were taken instead of {price}", zh=f"应扣 {price} 积分，实扣 {spent}"))
        if planned.sandbox:
            demo_show.order(await demo_purchase.buy(client, language=language()))
        demo_show.statement(await client.statement())
    report = await asyncio.to_thread(doctor.examine, planned.settings)
    doctor.tell(report)
    if not report.clean:
        raise Stop(say("credits or jobs are not what was promised", zh="积分或任务与承诺不符"))


def _agent(agents: dict[str, Agent], slug: str) -> Agent:
    if slug not in agents:
        raise Stop(
            say(f"The agent {slug} is not there: run `atelier migrate`", zh=f"缺少 {slug}：请运行 `atelier migrate`")
        )
    return agents[slug]


async def _signed_in(client: Client, settings: Settings, *, price: int) -> None:
    """Register somebody new; where a new user can't pay for the demo, the operator creates one who can."""
    account = _somebody()
    await client.register(account)
    if await client.sign_in(account) < price:
        account = _somebody()
        await asyncio.to_thread(_create, settings, account)
        await client.sign_in(account)
    line(
        say(
            f"Demo user: {account.username} / {account.password}",
            zh=f"演示用户：{account.username} / {account.password}",
        )
    )


def _somebody() -> Account:
    name = f"demo_{secrets.token_hex(4)}"
    return Account(email=f"{name}@atelier.example", username=name, password=secrets.token_urlsafe(9))


def _create(settings: Settings, account: Account) -> None:
    with opened(settings) as database:
        operator.create_user(
            database, email=account.email, username=account.username, password=account.password, amount=_CREDITS
        )


async def _act(client: Client, bars: Bars, scene: Scene, *, agent: Agent, planned: Plan) -> Job:
    """Run one job to its end. Raises Stop when it fails, or takes too long."""
    # The small language model reads English only.
    in_english = language() == "en" or (scene.slug == "outline-writer" and planned.settings.llm_url)
    prompt = scene.english if in_english else scene.chinese
    job = await client.generate(agent, prompt=prompt, config=scene.config)
    bars.add(scene.slug)
    try:
        async with asyncio.timeout(JOB_SECONDS_MAX):
            async for event in client.events(job):
                bars.event(scene.slug, event)
    except TimeoutError:
        longest = f"{JOB_SECONDS_MAX:.0f}"
        raise Stop(say(f"{scene.slug} takes longer than {longest} s", zh=f"{scene.slug} 超过 {longest} 秒")) from None
    ended = await client.job(job)
    bars.done(scene.slug, ended)
    if ended["status"] != "completed":
        raise Stop(f"{scene.slug}: {ended['status']} {ended['errorCode'] or ''} {ended['errorMessage'] or ''}".rstrip())
    return job


def _all(ended: list[Job | BaseException]) -> list[Job]:
    """All of them; the first failure is raised when every job has had its time."""
    for one in ended:
        if isinstance(one, BaseException):
            raise one
    return [one for one in ended if isinstance(one, Job)]


async def _saved(client: Client, scene: Scene, job: Job, *, output: Path) -> tuple[str, str]:
    data = await client.outputs(job)
    path = output / scene.file
    return str(path), demo_files.save(path, data[0], check=scene.check)
