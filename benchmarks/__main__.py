"""How fast it is, in the same minute and on the same machine as programs that do only the unavoidable.

python -m benchmarks                     every row
python -m benchmarks accept poll         these rows

Only the ratios to the floors are worth quoting: machines differ, and so do their neighbours. Everything runs on a
MariaDB and a Valkey of its own, on loopback, and ends with this program.
"""

import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click
from rich.console import Console

from benchmarks import load, results
from benchmarks.plan import Plan
from benchmarks.results import Line
from benchmarks.rows import (
    accept,
    admission,
    done,
    estimates,
    fairness,
    latency,
    million,
    poll,
    polling,
    reconcile,
    search,
    settle,
    sockets,
    webhooks,
)
from benchmarks.stand import Servers

ROWS: dict[str, Callable[[Plan], list[Line]]] = {
    "accept": accept.run,
    "admission": admission.run,
    "poll": poll.run,
    "polling": polling.run,
    "done": done.run,
    "estimates": estimates.run,
    "fairness": fairness.run,
    "latency": latency.run,
    "million": million.run,
    "reconcile": reconcile.run,
    "search": search.run,
    "settle": settle.run,
    "sockets": sockets.run,
    "webhooks": webhooks.run,
}
console = Console()


@click.command(help=__doc__)
@click.argument("rows", nargs=-1, type=click.Choice(sorted(ROWS)))
@click.option("--pairs", default=3, show_default=True, type=click.IntRange(1, 20), help="Runs of floor and ours.")
@click.option("--seconds", default=8, show_default=True, type=click.IntRange(1, 60), help="Length of one load.")
@click.option(
    "--million",
    "jobs",
    default=1_000_000,
    show_default=True,
    type=click.IntRange(20_000, 5_000_000),
    help="Finished jobs in the full table.",
)
@click.option(
    "--agents",
    default=100_000,
    show_default=True,
    type=click.IntRange(20_000, 1_000_000),
    help="Published agents to search.",
)
@click.option(
    "--flush", default=1, show_default=True, type=click.IntRange(0, 2), help="innodb_flush_log_at_trx_commit."
)
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write every figure there.")
def main(
    *, rows: Sequence[str], pairs: int, seconds: int, jobs: int, agents: int, flush: int, path: Path | None
) -> None:
    """Measure the rows and print their table."""
    load.program()
    lines: list[Line] = []
    with Servers(flush=flush) as servers:
        plan = Plan(servers=servers, pairs=pairs, seconds=seconds, million=jobs, agents=agents, say=_say)
        for name in rows or ROWS:
            lines += ROWS[name](plan)
    results.show(lines, console=console)
    console.print(f"{_machine()}; load average at the end {os.getloadavg()[0]:.1f}", highlight=False)
    if path:
        document = {"machine": _machine(), "flush": flush, "lines": [line.document() for line in lines]}
        path.write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")


def _say(text: str) -> None:
    console.print(text, style="dim", highlight=False)


def _machine() -> str:
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
