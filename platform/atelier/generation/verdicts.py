"""The verdicts of the scheduled self-check, kept so that others need not examine anything.

A check of the newest jobs can't see whether an older violation was mended: a violation stays in the verdicts until a
check of the whole doesn't find it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from atelier.generation.doctor import Report
from atelier.generation.models import VERDICTS
from atelier.kernel.clock import HOUR_MS, MINUTE_MS
from atelier.kernel.invariants import EXAMPLES_MAX, Finding

KEPT_FINDINGS_MAX = 10 * EXAMPLES_MAX
WHOLE_EVERY_MS = HOUR_MS
OVERLAP_MS = 10 * MINUTE_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is known of the promises. `checked_ms` is when anything was last examined, `whole_ms` when all of it was."""

    checked_ms: int
    whole_ms: int | None
    violations: int
    warnings: int
    totals: Mapping[str, int]
    findings: tuple[Finding, ...]


def since(session: Session, *, now_ms: int) -> int | None:
    """From when the next check has to look at jobs and transfers; None when it is time to look at all of them.

    All are looked at every hour, and for as long as a violation stands; in between, those that came after.
    """
    known = latest(session)
    if known is None or known.violations or known.whole_ms is None or now_ms - known.whole_ms >= WHOLE_EVERY_MS:
        return None
    return known.whole_ms - OVERLAP_MS


def store(session: Session, report: Report, *, now_ms: int) -> Verdict:
    """Keep a report, with what an earlier one found and this one didn't look at; the verdict."""
    earlier = None if report.whole else latest(session)
    verdict = _merged(report, earlier, now_ms) if earlier else _plain(report, now_ms)
    session.connection().execute(
        insert(VERDICTS),
        {
            "checked_ms": now_ms,
            "violations": verdict.violations,
            "warnings": verdict.warnings,
            "findings": {
                "whole_ms": verdict.whole_ms,
                "totals": dict(verdict.totals),
                "findings": [asdict(one) for one in verdict.findings],
            },
        },
    )
    return verdict


def latest(session: Session) -> Verdict | None:
    """The newest verdict; None before the first."""
    columns = VERDICTS.c
    row = (
        session.connection()
        .execute(
            select(columns.checked_ms, columns.violations, columns.warnings, columns.findings)
            .order_by(columns.id.desc())
            .limit(1)
        )
        .one_or_none()
    )
    if row is None:
        return None
    kept: dict[str, Any] = row.findings
    return Verdict(
        checked_ms=row.checked_ms,
        whole_ms=kept["whole_ms"],
        violations=row.violations,
        warnings=row.warnings,
        totals=kept["totals"],
        findings=tuple(Finding(**one) for one in kept["findings"]),
    )


def _plain(report: Report, now_ms: int) -> Verdict:
    return Verdict(
        checked_ms=now_ms,
        whole_ms=now_ms if report.whole else None,
        violations=report.violations,
        warnings=report.warnings,
        totals=report.totals,
        findings=report.findings[:KEPT_FINDINGS_MAX],
    )


def _merged(report: Report, earlier: Verdict, now_ms: int) -> Verdict:
    unmended = [one for one in earlier.findings if one.severity == "violation"]
    totals = {one.check: earlier.totals.get(one.check, 0) for one in unmended}
    for check, count in report.totals.items():
        totals[check] = max(count, totals.get(check, 0))
    return Verdict(
        checked_ms=now_ms,
        whole_ms=earlier.whole_ms,
        violations=max(report.violations, earlier.violations),
        warnings=report.warnings,
        totals=totals,
        findings=_distinct([*unmended, *report.findings])[:KEPT_FINDINGS_MAX],
    )


def _distinct(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple({(one.check, one.subject): one for one in findings}.values())
