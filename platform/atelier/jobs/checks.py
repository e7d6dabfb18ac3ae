"""What jobs promise about their own rows.

job.fence       fence ≥ attempts ≤ their limit
job.attempt     a job that runs, or completed, has the attempt that its fence names, and that is how it ended
job.used        only a completed job used credits, and not more than were held
job.result      a completed job has its result, and no other job has one
job.usage       the result of a metered job says what was used
job.output      the files of a result were stored under the fence that won
job.seq         the last event's number is one of the fence
job.shape       lease, owner and times are those that the state has; whoever sweeps can find it
job.lease       an abandoned job is taken over soon
job.unpolled    a parked job is looked at when its time has come
job.unclaimed   a waiting job is claimed, or published again
job.lane        a waiting job has a lane, without which nobody finds it but by its own message
job.overdue     a job ends soon after its deadline
step.parent     a step is one of a job of the same user, and costs nothing by itself
step.alive      a job that has ended leaves no step at work
attempt.job     an attempt belongs to a job
attempt.fence   … and was made under a fence that the job has had
"""

from sqlalchemy import (
    ColumnElement,
    FromClause,
    String,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    not_,
    or_,
    type_coerce,
)

from atelier.contracts import queues
from atelier.contracts.queues import WORKFLOW
from atelier.jobs import states
from atelier.jobs.lane_models import LANES
from atelier.jobs.models import ATTEMPTS, JOBS, RESULTS
from atelier.kernel.clock import MINUTE_MS, db_now_ms
from atelier.kernel.invariants import Family, Invariant, unless, within

# The sweeper looks every few seconds; while a queue is long it publishes nothing again, which is no fault.
ABANDONED_MS = MINUTE_MS
UNCLAIMED_MS = 5 * MINUTE_MS
UNPOLLED_MS = 5 * MINUTE_MS
LEFT_MS = 10 * MINUTE_MS
# As it stands in the JSON of a result: no text inside a string can look like this.
FILES = '"key":"outputs/'
USAGE = '"usage":{"credits":'

_j = JOBS.alias("j")
_a = ATTEMPTS.alias("a")
_r = RESULTS.alias("r")
_l = LANES.alias("l")
_p = JOBS.alias("p")
_s = RESULTS.alias("s")
_J = _j.c
_completed = _J.state == states.COMPLETED


def _misshapen() -> ColumnElement[bool]:
    held = and_(_J.lease_ms.is_not(None), _J.owner.is_not(None), _J.poll_ms.is_(None), _J.started_ms.is_not(None))
    unheld = and_(_J.lease_ms.is_(None), _J.owner.is_(None))
    parked = and_(unheld, _J.poll_ms.is_not(None), _J.started_ms.is_not(None))
    free = and_(unheld, _J.poll_ms.is_(None))
    alive = and_(_J.sweep_ms.is_not(None), _J.finished_ms.is_(None))
    ended = and_(_J.sweep_ms.is_(None), _J.finished_ms.is_not(None))
    return unless(
        case(
            (_J.state == states.RUNNING, and_(or_(held, parked), alive)),
            (_J.state == states.PENDING, and_(free, alive)),
            else_=and_(free, ended),
        )
    )


def _stored() -> Family:
    first = _J.fence * states.SEQ_STEP
    attempted = or_(_J.state == states.RUNNING, _completed)
    return Family(
        rows=_j.outerjoin(_a, and_(_a.c.job_id == _J.id, _a.c.fence == _J.fence)).outerjoin(_r, _r.c.job_id == _J.id),
        subject=_J.id,
        facts=(
            _J.state,
            _J.fence,
            _J.seq,
            _J.attempts,
            _J.attempts_max,
            _J.held,
            _J.used,
            _J.owner,
            _J.lease_ms,
            _J.sweep_ms,
            _J.poll_ms,
            _J.finished_ms,
            _a.c.outcome,
        ),
        invariants=(
            Invariant("job.fence", or_(_J.fence < _J.attempts, _J.attempts > _J.attempts_max, _J.attempts < 0)),
            Invariant(
                "job.attempt",
                or_(
                    and_(attempted, _a.c.job_id.is_(None)),
                    and_(_completed, func.coalesce(_a.c.outcome, "") != states.COMPLETED),
                ),
            ),
            Invariant("job.used", or_(_J.used < 0, _J.used > _J.held, and_(not_(_completed), _J.used != 0))),
            Invariant("job.result", _completed != _r.c.job_id.is_not(None)),
            Invariant("job.seq", or_(_J.seq <= first, _J.seq >= first + states.SEQ_STEP), "warning"),
            Invariant("job.shape", _misshapen(), "warning"),
        ),
        where=within(_J.id),
        walked=JOBS.c.id,
        by_time=True,
    )


def _outputs() -> Family:
    # Texts are in the result itself, and may hold anything.
    mine = literal(FILES) + _J.id + "/" + cast(_J.fence, String) + "/"
    others = func.replace(_r.c.document, mine, "", type_=String)
    # What is put together from steps has the result of one of them.
    of_step = exists().where(_p.c.parent_id == _J.id, _s.c.job_id == _p.c.id, _text(_s) == _text(_r))
    metered = _J.pricing.is_not(None)
    wrong = case(
        (_J.provider == WORKFLOW, and_(_text(_r).contains(FILES), not_(metered), not_(of_step))),
        else_=others.contains(FILES),
    )
    told = cast(_r.c.document, String).contains(literal(USAGE) + cast(_J.used, String) + ",")
    return Family(
        rows=_j.join(_r, _r.c.job_id == _J.id),
        subject=_J.id,
        facts=(_J.kind, _J.fence, _J.used),
        invariants=(
            Invariant("job.output", and_(_J.kind != "text", wrong)),
            Invariant("job.usage", and_(metered, _completed, not_(told))),
        ),
        where=and_(within(_J.id), or_(_J.kind != "text", metered)),
        walked=JOBS.c.id,
        by_time=True,
    )


def _text(results: FromClause) -> ColumnElement[str]:
    return type_coerce(results.c.document, String)


def _steps() -> Family:
    orphaned = or_(_p.c.id.is_(None), _p.c.user_id != _J.user_id)
    left = and_(_J.state.in_(states.ALIVE), _p.c.finished_ms < db_now_ms() - LEFT_MS)
    return Family(
        rows=_j.outerjoin(_p, _p.c.id == _J.parent_id),
        subject=_J.id,
        facts=(_J.parent_id, _J.step, _J.state, _J.held, _p.c.state.label("parent_state")),
        invariants=(
            Invariant("step.parent", or_(orphaned, _J.held != 0)),
            Invariant("step.alive", left, "warning"),
        ),
        where=and_(within(_J.id), _J.parent_id.is_not(None)),
        walked=JOBS.c.id,
        by_time=True,
    )


def _attempts() -> Family:
    return Family(
        rows=_a.outerjoin(_j, _J.id == _a.c.job_id),
        subject=_a.c.job_id,
        facts=(_a.c.fence.label("attempt_fence"), _a.c.number, _J.fence),
        invariants=(Invariant("attempt.job", _J.id.is_(None)), Invariant("attempt.fence", _a.c.fence > _J.fence)),
        where=within(_a.c.job_id),
        walked=ATTEMPTS.c.job_id,
        by_time=True,
    )


def _alive() -> Family:
    now = db_now_ms()
    return Family(
        rows=_j.outerjoin(_l, and_(_l.c.queue == _J.queue, _l.c.user_id == _J.user_id, _l.c.provider == _J.provider)),
        subject=_J.id,
        facts=(
            _J.queue,
            _J.state,
            _J.owner,
            _J.publishes,
            (now - _J.lease_ms).label("lease_over_ms"),
            (now - _J.sweep_ms).label("sweep_over_ms"),
            (now - _J.poll_ms).label("poll_over_ms"),
            (now - _J.deadline_ms).label("deadline_over_ms"),
        ),
        invariants=(
            Invariant("job.lease", and_(_J.state == states.RUNNING, _J.lease_ms < now - ABANDONED_MS), "warning"),
            Invariant("job.unpolled", _J.poll_ms < now - UNPOLLED_MS, "warning"),
            Invariant("job.unclaimed", and_(_J.state == states.PENDING, _J.sweep_ms < now - UNCLAIMED_MS), "warning"),
            Invariant("job.lane", and_(_J.state == states.PENDING, _l.c.queue.is_(None)), "warning"),
            Invariant("job.overdue", _J.deadline_ms < now - ABANDONED_MS, "warning"),
        ),
        where=and_(_J.queue.in_(list(queues.GENERATION.values())), _J.state.in_(states.ALIVE)),
    )


FAMILIES = (_stored(), _outputs(), _steps(), _attempts(), _alive())
