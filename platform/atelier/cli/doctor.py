"""`atelier doctor`: whether every credit is where it should be, and every job has what it was promised."""

import click
from rich.text import Text

from atelier.cli import options
from atelier.cli.console import OUT, Stop, line
from atelier.cli.opened import opened
from atelier.cli.words import say
from atelier.generation import doctor
from atelier.generation.doctor import Report
from atelier.kernel import clock
from atelier.kernel.settings import Settings


@click.command(
    "doctor",
    help=say(
        "Check every promise about credits and jobs, and name each row that breaks one. Exit status 1 at a violation;"
        " warnings alone are 0.",
        zh="检查积分与任务的全部约束并列出违反项。有违反时退出码为 1，仅有警告时为 0。",
    ),
)
@options.data_dir_option
def command() -> None:
    """Examine, and say what was found."""
    report = examine(options.load())
    tell(report)
    if not report.clean:
        raise Stop(say("credits or jobs are not what was promised", zh="积分或任务与承诺不符"))


def examine(settings: Settings) -> Report:
    """Look at everything in one moment."""
    with opened(settings) as database:
        return database.snapshot(doctor.examine, now_ms=clock.now_ms())


def tell(report: Report) -> None:
    """Print each finding, and the verdict."""
    for one in report.findings:
        style = "red" if one.severity == "violation" else "yellow"
        OUT.print(Text.assemble((one.severity, style), f"  {one.check}  {one.subject}  {one.detail}"), soft_wrap=True)
    for check, total in report.totals.items():
        line(say(f"{check}: {total} in all", zh=f"{check}：共 {total} 项"))
    examined = report.examined
    if report.clean:
        warnings = report.warnings
        english = f"Doctor: clean. {examined} rows examined, no violation, {warnings} warnings."
        chinese = f"检查结果：正常。检查 {examined} 行，无违反，{warnings} 项警告。"
        line(say(english, zh=chinese), style="bold green")
    else:
        english = f"Doctor: {report.violations} violations in {examined} rows."
        line(say(english, zh=f"检查结果：{examined} 行中有 {report.violations} 项违反。"), style="bold red")
