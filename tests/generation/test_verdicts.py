"""What is kept of the self-check."""

from atelier.generation import verdicts
from atelier.generation.doctor import Report
from atelier.generation.verdicts import KEPT_FINDINGS_MAX, OVERLAP_MS
from atelier.kernel.clock import HOUR_MS
from atelier.kernel.database import Database
from atelier.kernel.invariants import Finding, Severity


def report(*subjects: str, check: str = "job.hold", severity: Severity = "violation", whole: bool = True) -> Report:
    findings = tuple(Finding(check=check, severity=severity, subject=one, detail="held=5") for one in subjects)
    broken = len(subjects) if severity == "violation" else 0
    return Report(
        findings=findings,
        totals={check: len(subjects)} if subjects else {},
        violations=broken,
        warnings=len(subjects) - broken,
        examined=9,
        whole=whole,
    )


def test_before_the_first_check_there_is_no_verdict(db: Database) -> None:
    assert db.read(verdicts.latest) is None


def test_the_newest_verdict_is_given_as_it_was_found(db: Database) -> None:
    db.transact(verdicts.store, report(), now_ms=1)
    kept = db.transact(verdicts.store, report("一", "二"), now_ms=2)
    assert db.read(verdicts.latest) == kept
    assert (kept.checked_ms, kept.violations, kept.warnings, kept.totals) == (2, 2, 0, {"job.hold": 2})
    assert [one.subject for one in kept.findings] == ["一", "二"]


def test_a_check_of_the_whole_says_that_a_violation_is_mended(db: Database) -> None:
    db.transact(verdicts.store, report("a"), now_ms=1)
    assert db.transact(verdicts.store, report(), now_ms=2).violations == 0


def test_a_check_of_the_newest_does_not(db: Database) -> None:
    db.transact(verdicts.store, report("a"), now_ms=1)
    db.transact(verdicts.store, report(whole=False), now_ms=2)
    kept = db.transact(verdicts.store, report("b", check="account.last", whole=False), now_ms=3)
    assert (kept.violations, kept.checked_ms) == (1, 3)
    assert kept.totals == {"job.hold": 1, "account.last": 1}
    assert [one.subject for one in kept.findings] == ["a", "b"]


def test_a_warning_is_gone_when_the_next_check_does_not_find_it(db: Database) -> None:
    db.transact(verdicts.store, report("a", check="job.lease", severity="warning"), now_ms=1)
    assert db.transact(verdicts.store, report(whole=False), now_ms=2).warnings == 0


def test_a_disaster_is_counted_in_full_and_kept_in_examples(db: Database) -> None:
    kept = db.transact(verdicts.store, report(*map(str, range(5_000))), now_ms=1)
    assert (kept.violations, len(kept.findings)) == (5_000, KEPT_FINDINGS_MAX)


def test_all_is_looked_at_every_hour_and_what_is_new_in_between(db: Database) -> None:
    start = 1_760_000_000_000
    assert db.read(verdicts.since, now_ms=start) is None
    db.transact(verdicts.store, report(), now_ms=start)
    db.transact(verdicts.store, report(whole=False), now_ms=start + 60_000)
    assert db.read(verdicts.since, now_ms=start + 120_000) == start - OVERLAP_MS
    assert db.read(verdicts.since, now_ms=start + HOUR_MS) is None


def test_all_is_looked_at_for_as_long_as_a_violation_stands(db: Database) -> None:
    db.transact(verdicts.store, report(), now_ms=1)
    db.transact(verdicts.store, report("a", whole=False), now_ms=2)
    assert db.read(verdicts.since, now_ms=3) is None
    db.transact(verdicts.store, report(), now_ms=3)
    assert db.read(verdicts.since, now_ms=4) == 3 - OVERLAP_MS
