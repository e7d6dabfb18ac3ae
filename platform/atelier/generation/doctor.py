"""The self-check: every promise about jobs, credits and orders, judged in one moment, each broken one named.

Run it with `database.snapshot(examine, …)`. A violation means that credits or results are not what was promised; a
warning means that something takes longer than it should.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from atelier.catalog import search_checks
from atelier.generation import (
    doctor_checks,
    doctor_keys,
    doctor_orders,
    doctor_projects,
    doctor_results,
    doctor_webhooks,
)
from atelier.jobs import checks as job_checks
from atelier.jobs import letter_checks
from atelier.kernel import ids, invariants
from atelier.kernel.invariants import Finding, Findings
from atelier.ledger import checks as ledger_checks
from atelier.workshop import checks as project_checks

FAMILIES = (
    *ledger_checks.FAMILIES,
    *job_checks.FAMILIES,
    *letter_checks.FAMILIES,
    *project_checks.FAMILIES,
    *doctor_checks.FAMILIES,
    *doctor_projects.FAMILIES,
    *doctor_results.FAMILIES,
    *doctor_orders.FAMILIES,
    *doctor_keys.FAMILIES,
    *doctor_webhooks.FAMILIES,
    *search_checks.FAMILIES,
)
SEVERITIES = {one.name: one.severity for family in FAMILIES for one in family.invariants}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found: totals per check, and a few findings of each as examples.

    examined  rows that were judged, a row once for each pass over it
    whole     everything was judged, not only what is new or alive
    """

    findings: tuple[Finding, ...]
    totals: Mapping[str, int]
    violations: int
    warnings: int
    examined: int
    whole: bool

    @property
    def clean(self) -> bool:
        """No violation; there may be warnings."""
        return self.violations == 0


def examine(session: Session, *, now_ms: int, since_ms: int | None = None) -> Report:
    """Judge everything; with `since_ms` only jobs and transfers that are newer, and whatever is alive now.

    The whole takes a second for each 10 000 (MariaDB) to 50 000 (SQLite) jobs, so it is for an hourly check, a test or
    a command; the check of each minute looks at the newest. Counters are compared with the sums of all transfers in
    the whole check only; the other compares balances with the newest transfers.
    """
    since = invariants.FIRST if since_ms is None else ids.floor(since_ms)
    found = invariants.gather(session, FAMILIES, now_ms=now_ms, since=since)
    if since_ms is None:
        found = _joined(found, ledger_checks.counters(session))
        found = _joined(found, doctor_keys.counters(session))
    by_severity = {"violation": 0, "warning": 0}
    for check, count in found.totals.items():
        by_severity[SEVERITIES.get(check, "violation")] += count
    return Report(
        findings=tuple(sorted(found.examples, key=lambda one: (one.severity, one.check, one.subject))),
        totals=dict(sorted(found.totals.items())),
        violations=by_severity["violation"],
        warnings=by_severity["warning"],
        examined=found.examined,
        whole=since_ms is None,
    )


def _joined(one: Findings, other: Findings) -> Findings:
    return Findings(
        examined=one.examined + other.examined,
        totals=one.totals + other.totals,
        examples=[*one.examples, *other.examples],
    )


_MONEY_FAMILIES = (
    *("account", "transfer", "hold", "statement", "share", "clearing", "earning", "purchase"),
    *("order", "topup", "clawback", "refund", "debt"),
)
_MONEY_OF_JOBS = (
    *("job.hold", "job.capture", "job.release", "job.open", "job.price", "job.pricing", "job.used", "job.usage"),
    "job.share",
)


def is_about_money(check: str) -> bool:
    """Whether a broken promise of this name means that credits don't add up."""
    is_late = SEVERITIES.get(check) == "warning"
    return not is_late and (check.partition(".")[0] in _MONEY_FAMILIES or check in _MONEY_OF_JOBS)
