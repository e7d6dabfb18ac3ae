"""What the demo shows while it runs: a bar per job, the statement, the files."""

from typing import Any, Final, Self

from rich import box
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from atelier.cli.console import OUT, line
from atelier.cli.words import say
from atelier.gateways.money import yuan

_TAIL: Final = 38
_CHINESE: Final = {"completed": "完成", "failed": "失败", "canceled": "已取消"}


class Bars:
    """One bar per agent, in an `with`. Where nobody watches a terminal, a line at each job's end instead."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description}", style="bold"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[step]}", style="dim", markup=False),
        )
        self._progress = Progress(*columns, console=OUT, disable=not OUT.is_terminal)
        self._tasks: dict[str, TaskID] = {}
        self._written: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Show the bars."""
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave them as they are."""
        self._progress.stop()

    def add(self, slug: str) -> None:
        """A job was submitted."""
        self._tasks[slug] = self._progress.add_task(slug, total=1.0, step=say("waiting", zh="排队"))

    def event(self, slug: str, event: dict[str, Any]) -> None:
        """Something happened to it."""
        data = event["data"]
        if event["type"] == "job.progress":
            self._update(slug, data.get("step") or "", share=data.get("progress"))
        elif event["type"] == "job.output":
            self._written[slug] = (self._written.get(slug, "") + data.get("delta", ""))[-200:]
            self._update(slug, " ".join(self._written[slug].split())[-_TAIL:])
        elif event["type"] == "job.running":
            self._update(slug, say("running", zh="运行中"))
        elif event["type"] == "job.pending" and data.get("errorCode"):
            self._update(slug, say("once more", zh="重试中"))

    def done(self, slug: str, job: dict[str, Any]) -> None:
        """It has ended."""
        completed = job["status"] == "completed"
        seconds = (job["processingTime"] or 0) / 1000
        words = f"{job['status']}, {seconds:.1f} s, {job['credits']['used']} credits"
        chinese = f"{_CHINESE.get(job['status'], job['status'])}，{seconds:.1f} 秒，{job['credits']['used']} 积分"
        self._update(slug, say(words, zh=chinese), share=1.0 if completed else None)
        if not OUT.is_terminal:
            line(f"{slug:<16} {say(words, zh=chinese)}")

    def _update(self, slug: str, step: str, *, share: float | None = None) -> None:
        self._progress.update(self._tasks[slug], step=step, completed=share)


def files(made: list[tuple[str, str]]) -> None:
    """Where the results are, and what they are."""
    table = Table.grid(padding=(0, 2))
    for path, words in made:
        table.add_row(Text(f"  {path}"), Text(words, style="dim"))
    OUT.print(table)


def order(bought: dict[str, Any]) -> None:
    """What was bought, for how much, and by which payment."""
    amount, credits_bought = f"¥{yuan(bought['totalFen'])}", bought["creditsAmount"]
    words = f"{bought['orderNo']}: {credits_bought} credits for {amount}, {bought['status']} with Alipay (sandbox)"
    chinese = f"{bought['orderNo']}：{amount} 购买 {credits_bought} 积分，支付宝（沙箱）已支付"
    line(say(f"Order {words}, payment {bought['paymentId']}", zh=f"订单 {chinese}，支付单号 {bought['paymentId']}"))


def statement(lines: list[dict[str, Any]]) -> None:
    """The credit statement, oldest line first."""
    table = Table(box=box.SIMPLE_HEAD, title=say("Credit statement", zh="积分明细"), title_justify="left")
    for title in (say("Time", zh="时间"), say("What", zh="说明"), say("Credits", zh="积分"), say("Balance", zh="余额")):
        number = title in {say("Credits", zh="积分"), say("Balance", zh="余额")}
        table.add_column(title, justify="right" if number else "left", overflow="fold")
    for one in reversed(lines):
        moment = one["createdAt"][11:19]
        table.add_row(moment, Text(one["description"]), f"{one['amount']:+d}", str(one["balanceAfter"]))
    OUT.print(table)
