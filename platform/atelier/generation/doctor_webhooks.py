"""What outgoing webhooks promise.

webhook.event      an event belongs to an endpoint, or to a job with a webhook of its own, of the same user
webhook.job        … and to a job that has ended as the event says
webhook.delivered  what was delivered has an attempt that was answered with 2xx
webhook.shape      what waits has its times, what has ended has none
webhook.order      nothing was delivered in its turn while an older event of the same target waits
webhook.told       a job with a webhook that has ended has its event
webhook.late       what is due is attempted soon
"""

from sqlalchemy import ColumnElement, and_, func, or_, select

from atelier.jobs import states as job_states
from atelier.jobs.models import JOBS
from atelier.kernel.clock import DAY_MS, MINUTE_MS, db_now_ms
from atelier.kernel.invariants import NOW_MS, Family, Invariant, unless, within
from atelier.webhooks import states
from atelier.webhooks.models import ATTEMPTS, ENDPOINTS, EVENTS, JOB_WEBHOOKS

LATE_MS = 10 * MINUTE_MS
# A job ends within a day or a few of its submission, and its event is kept for thirty days after that.
TOLD_MS = 20 * DAY_MS

_e = EVENTS.alias("e")
_w = ENDPOINTS.alias("w")
_h = JOB_WEBHOOKS.alias("h")
_j = JOBS.alias("j")
_older = EVENTS.alias("older")
_E = _e.c


def _owned() -> ColumnElement[bool]:
    own = and_(_E.endpoint_id == _w.c.id, _E.target_id == _w.c.id, _w.c.user_id == _E.user_id)
    single = and_(_E.endpoint_id.is_(None), _E.target_id == _h.c.job_id, _h.c.user_id == _E.user_id)
    return or_(own, single)


def _shape() -> ColumnElement[bool]:
    waits = and_(_E.state == states.WAITING, _E.due_ms.is_not(None), _E.wake_ms.is_not(None), _E.ended_ms.is_(None))
    over = and_(_E.state != states.WAITING, _E.due_ms.is_(None), _E.wake_ms.is_(None), _E.ended_ms.is_not(None))
    return or_(waits, over)


def _events() -> Family:
    answered = select(ATTEMPTS.c.id).where(ATTEMPTS.c.event_id == _E.id, ATTEMPTS.c.status.between(200, 299))
    before = select(_older.c.id).where(
        _older.c.target_id == _E.target_id,
        _older.c.state == states.WAITING,
        _older.c.in_order == 1,
        _older.c.id < _E.id,
    )
    # Who stands behind is not written while the first is told, so one that ended as another came in may be younger.
    overtaken = and_(_E.state == states.DELIVERED, _E.in_order == 1, _E.created_ms < NOW_MS - MINUTE_MS)
    said = "job." + _j.c.state == _E.type
    return Family(
        rows=_e.outerjoin(_w, _w.c.id == _E.endpoint_id)
        .outerjoin(_h, _h.c.job_id == _E.job_id)
        .outerjoin(_j, _j.c.id == _E.job_id),
        subject=_E.id,
        facts=(_E.type, _E.state, _E.target_id, _E.attempts, _E.error, _j.c.state.label("job_state")),
        invariants=(
            Invariant("webhook.event", unless(_owned())),
            Invariant("webhook.job", unless(or_(and_(_E.type == states.PING, _E.job_id.is_(None)), said))),
            Invariant("webhook.delivered", and_(_E.state == states.DELIVERED, ~answered.exists())),
            Invariant("webhook.shape", unless(_shape())),
            Invariant("webhook.order", and_(overtaken, before.exists()), "warning"),
        ),
        where=within(_E.id),
        walked=EVENTS.c.id,
        by_time=True,
    )


def _told() -> Family:
    missing = and_(_j.c.state.in_(job_states.FINISHED), _E.id.is_(None))
    wanted = or_(_h.c.events == "", func.instr(_h.c.events, "job." + _j.c.state) > 0)
    return Family(
        rows=_h.join(_j, _j.c.id == _h.c.job_id).outerjoin(
            _e, and_(_E.target_id == _h.c.job_id, _E.endpoint_id.is_(None))
        ),
        subject=_h.c.job_id,
        facts=(_h.c.user_id, _j.c.state),
        invariants=(Invariant("webhook.told", and_(missing, wanted)),),
        where=and_(within(_h.c.job_id), _h.c.created_ms > NOW_MS - TOLD_MS),
        walked=JOB_WEBHOOKS.c.job_id,
        by_time=True,
    )


def _late() -> Family:
    now = db_now_ms()
    return Family(
        rows=_e,
        subject=_E.id,
        facts=(_E.target_id, _E.attempts, (now - _E.wake_ms).label("late_ms")),
        invariants=(Invariant("webhook.late", _E.wake_ms < now - LATE_MS, "warning"),),
        where=_E.wake_ms < now - LATE_MS,
    )


FAMILIES = (_events(), _told(), _late())
