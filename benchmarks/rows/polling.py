"""Five-minute jobs at a provider that finishes later, five thousand of them at once, on one poller process.

Five minutes are five minutes here (4½ to 5½), and the pace is that of the settings: faster time would only mean that
fewer are in flight at once. The provider loses answers, takes requests late and refuses some. How late an end is
noticed is counted in the intervals at which its task was being looked at then, and never in more than the longest that
the settings allow.
"""

import random
import time

from atelier.generation import doctor
from atelier.kernel.clock import now_ms
from atelier.providers.fake_kling import FakeKling, Faults
from benchmarks.load import cpu_seconds
from benchmarks.plan import Plan
from benchmarks.results import Line
from benchmarks.stand import Stand, wait
from tests.generation import storm

COUNT = 5_000
SECONDS = (270, 330)
PACE = (20, 5, 30, 60)
FAULTS = Faults(unanswered=0.02, late=0.01, late_seconds=1.0, broken=0.02, unsure=0.02, full=0.01)
PATIENCE_SECONDS = 1_200
ALIVE = {"pending", "running", "parked"}


def run(plan: Plan) -> list[Line]:
    """The line: one run, however many pairs were asked for, because it lasts for minutes."""
    line = Line(name="polling, ends noticed (p95)", unit="intervals", aim="≤ 2")
    plan.say(f"polling: {COUNT} jobs")
    dice = random.Random(1)
    with FakeKling(seconds=lambda: dice.uniform(*SECONDS)) as fake, Stand(plan.servers, name="polling") as stand:
        fake.faults = FAULTS
        settings = storm.environment(fake, pace=PACE)
        stand.start("relay", "beat", "money", "polling", "submitting", **settings)
        submitted = storm.submit(stand.database, count=COUNT)
        most, began, before = _weathered(stand)
        elapsed = time.monotonic() - began
        used = {name: cpu_seconds(process.pid) - before[name] for name, process in stand.roles.items()}
        _verify(stand, fake)
        lag = storm.lag(stand.folder / "polling.log")
        line.ours.append(lag.p95)
        calls = fake.books.calls
        line.notes |= {
            "p50 intervals": lag.p50,
            "p95 ms": lag.p95_ms,
            "parked at once": most,
            "looks a job": calls["look"] / len(submitted),
            "calls a job": calls.total() / len(submitted),
            "CPU share of the poller": used["polling"] / elapsed,
            "CPU ms a job": {name: round(1_000 * seconds / COUNT, 1) for name, seconds in used.items()},
            "seconds": elapsed,
        }
    return [line]


def _weathered(stand: Stand) -> tuple[int, float, dict[str, float]]:
    """The most that were parked at once; when it began, and what the roles had used by then."""
    began, most = time.monotonic(), 0
    before = {name: cpu_seconds(process.pid) for name, process in stand.roles.items()}

    def ended() -> bool:
        nonlocal most
        found = stand.read(storm.states)
        most = max(most, found["parked"])
        time.sleep(0.5)
        return not found.keys() & ALIVE

    wait(ended, what="all have ended", seconds_max=PATIENCE_SECONDS)
    return most, began, before


def _verify(stand: Stand, fake: FakeKling) -> None:
    assert stand.read(storm.states) == {"completed": COUNT}, stand.read(storm.states)
    assert set(storm.generations(fake).values()) == {1}
    report = stand.database.snapshot(doctor.examine, now_ms=now_ms())
    assert report.clean, [f"{finding.check} {finding.subject}" for finding in report.findings]
