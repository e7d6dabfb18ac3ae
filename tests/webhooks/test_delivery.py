"""Trying again, keeping the order, giving up, and what is asked for by hand or was lost."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from atelier.callouts.poster import Poster
from atelier.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, now_ms
from atelier.kernel.ids import new_id
from atelier.webhooks import by_hand, events, states
from atelier.webhooks.errors import TooManyWaitingEvents, WebhookDisabled, WebhookEventNotFound
from tests.webhooks.desk import Desk
from tests.webhooks.receiver import Receiver, Says

DOWN = Says(500, b"out of order")


# -- trying again


def test_the_schedule_reaches_three_days_and_has_jitter() -> None:
    waits = [states.wait_ms(tries=tries, jitter=0.5) for tries in range(1, 10)]
    hours = [0.5, 2, 5, 10, 14, 20, 24]
    assert waits == [5 * SECOND_MS, 5 * MINUTE_MS, *(int(hour * HOUR_MS) for hour in hours)]
    assert states.ATTEMPTS_MAX == 10
    assert {states.wait_ms(tries=1, jitter=jitter) for jitter in (0.0, 1.0)} == {4_500, 5_500}
    assert states.wait_ms(tries=1, jitter=0.5, asked_seconds=120) == 120 * SECOND_MS
    assert states.wait_ms(tries=3, jitter=0.5, asked_seconds=1) == 30 * MINUTE_MS
    assert states.wait_ms(tries=1, jitter=0.5, asked_seconds=10**9) == states.LONGEST_MS < 2 * DAY_MS


def test_a_consumer_that_comes_back_gets_the_same_event(desk: Desk, receiver: Receiver) -> None:
    webhook = desk.webhook(receiver.url)
    desk.ended()
    receiver.answers = [DOWN, Says(cut=True)]
    assert desk.deliver(webhook.id) == 1
    assert desk.states() == [("waiting", 1, "REFUSED")]
    assert desk.seen(webhook).failures == 1
    assert 4_000 < desk.waits_ms(desk.events()[0]) < 6_000
    assert desk.deliver(webhook.id) == 0
    desk.let_pass(HOUR_MS)
    assert desk.deliver(webhook.id) == 1
    desk.let_pass(HOUR_MS)
    assert desk.deliver(webhook.id) == 1
    assert len(receiver.ids()) == 3
    assert len(set(receiver.ids())) == 1
    assert len({one.body for one in receiver.received}) == 1
    (event,) = desk.events()
    assert (event.state, event.attempts, event.error) == ("delivered", 3, None)
    assert [(one.status, one.error) for one in desk.attempts(event)] == [
        (500, "REFUSED"),
        (None, "CONNECTION_BROKEN"),
        (200, None),
    ]
    assert desk.seen(webhook).failures == 0
    assert desk.examine().totals == {}


def test_retry_after_is_honoured(desk: Desk, receiver: Receiver) -> None:
    webhook = desk.webhook(receiver.url)
    desk.ended()
    receiver.answers = [Says(429, headers={"Retry-After": "3600"})]
    desk.deliver(webhook.id)
    assert 3_500_000 < desk.waits_ms(desk.events()[0]) < 3_700_000


def test_a_redirect_is_a_failure(desk: Desk, receiver: Receiver) -> None:
    webhook = desk.webhook(receiver.url)
    desk.ended()
    receiver.answers = [Says(301, headers={"Location": "/there"})]
    desk.deliver(webhook.id)
    assert desk.states() == [("waiting", 1, "REDIRECTED")]
    assert len(receiver.received) == 1


def test_only_the_beginning_of_an_answer_is_kept(desk: Desk, receiver: Receiver) -> None:
    webhook = desk.webhook(receiver.url)
    desk.ended()
    receiver.answers = [Says(body="\x00好".encode() * 40_000 + b"\xff")]
    desk.deliver(webhook.id)
    (attempt,) = desk.attempts(desk.events()[0])
    assert attempt.answer == "\N{REPLACEMENT CHARACTER}好" * 1_024


def test_an_address_that_leads_inside_is_not_called_and_tried_again(desk: Desk, receiver: Receiver) -> None:
    webhook = desk.webhook(receiver.url)
    desk.ended()
    desk.deliverer = desk.worker(Poster())
    desk.deliver(webhook.id)
    assert desk.states() == [("waiting", 1, "ADDRESS_FORBIDDEN")]
    assert receiver.received == []


# -- order


def test_a_later_event_waits_for_an_earlier_one(desk: Desk, receiver: Receiver) -> None:
    webhook = desk.webhook(receiver.url)
    receiver.answers = [DOWN]
    jobs = [desk.ended() for _ in range(5)]
    assert desk.deliver(webhook.id) == 1
    assert [state for state, _, _ in desk.states()] == ["waiting"] * 5
    assert desk.deliver(webhook.id) == 0
    desk.let_pass(MINUTE_MS)
    assert desk.deliver(webhook.id) == 5
    ids = [one.id for one in desk.events()]
    assert receiver.ids() == [ids[0], *ids]
    assert sorted(one.said["data"]["id"] for one in receiver.received[1:]) == sorted(jobs)
    assert desk.examine().totals == {}


def test_a_slow_consumer_holds_up_nobody_else(desk: Desk, receiver: Receiver) -> None:
    slow, well = desk.webhook(receiver.url), desk.webhook(receiver.url)
    desk.ended()
    during: list[int] = []
    receiver.answers = [Says(before=lambda: during.append(desk.deliver(slow.id) * 10 + desk.deliver(well.id)))]
    assert desk.deliver(slow.id) == 1
    assert during == [1]


def test_many_messages_at_once_tell_each_event_once_and_in_order(desk: Desk, receiver: Receiver) -> None:
    webhook = desk.webhook(receiver.url)
    for _ in range(8):
        desk.ended()
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(desk.deliver, [webhook.id] * 8))
    assert sum(made) == 8
    assert receiver.ids() == [one.id for one in desk.events()]


def test_a_long_line_goes_on_behind_others(desk: Desk, receiver: Receiver) -> None:
    webhook = desk.webhook(receiver.url)
    for _ in range(13):
        desk.ended()
    desk.messages()
    assert desk.deliver(webhook.id) == 10
    assert desk.messages() == [webhook.id]
    assert desk.deliver(webhook.id) == 3
    assert receiver.ids() == [one.id for one in desk.events()]


def test_one_users_consumers_take_no_more_than_their_part(desk: Desk, receiver: Receiver) -> None:
    webhooks = [desk.webhook(receiver.url) for _ in range(2)]
    desk.ended()
    desk.deliverer = desk.worker(Poster(loopback=True), calls_max=2)
    during: list[int] = []
    receiver.answers = [Says(before=lambda: during.append(desk.deliver(webhooks[1].id)))]
    assert desk.deliver(webhooks[0].id) == 1
    assert during == [0]
    desk.let_pass(MINUTE_MS)
    assert desk.requeue() == 1
    assert desk.deliver(webhooks[1].id) == 1


# -- giving up


def test_ten_failures_in_a_row_turn_an_endpoint_off_and_tell_its_user_once(desk: Desk, receiver: Receiver) -> None:
    webhook = desk.webhook(receiver.url)
    receiver.otherwise = DOWN
    for _ in range(3):
        desk.ended()
    for _ in range(10):
        assert desk.deliver(webhook.id) == 1
        desk.let_pass(3 * DAY_MS)
    assert len(set(receiver.ids())) == 1
    assert desk.states() == [("failed", 10, "REFUSED"), *[("failed", 0, states.ENDPOINT_DISABLED)] * 2]
    off = desk.seen(webhook)
    assert (off.enabled, off.disabled_reason, off.failures) == (False, "failing", 10)
    (notice,) = desk.notices()
    assert (notice["kind"], notice["ref_id"]) == ("webhook_failing", webhook.id)
    assert notice["data"] == {"address": receiver.url.removesuffix("/hook")}
    desk.ended()
    assert len(desk.events()) == 3
    assert desk.examine().totals == {}


def test_one_success_begins_the_count_anew(desk: Desk, receiver: Receiver) -> None:
    webhook = desk.webhook(receiver.url)
    for _ in range(3):
        receiver.answers = [DOWN] * 9
        desk.ended()
        for _ in range(10):
            desk.deliver(webhook.id)
            desk.let_pass(3 * DAY_MS)
    assert desk.seen(webhook).enabled
    assert [state for state, _, _ in desk.states()] == ["delivered"] * 3


def test_410_turns_an_endpoint_off_at_once(desk: Desk, receiver: Receiver) -> None:
    webhook = desk.webhook(receiver.url)
    receiver.answers = [Says(410)]
    for _ in range(2):
        desk.ended()
    assert desk.deliver(webhook.id) == 1
    assert desk.states() == [("failed", 1, "ENDPOINT_GONE"), ("failed", 0, states.ENDPOINT_DISABLED)]
    assert desk.seen(webhook).disabled_reason == "gone"
    assert [one["kind"] for one in desk.notices()] == ["webhook_gone"]
    assert desk.deliver(webhook.id) == 0


def test_410_ends_the_webhook_of_a_job(desk: Desk, receiver: Receiver) -> None:
    job_id = desk.ended(url=receiver.url)
    receiver.answers = [Says(410)]
    assert desk.deliver(job_id) == 1
    assert desk.states() == [("failed", 1, "ENDPOINT_GONE")]
    assert desk.notices() == []


def test_a_jobs_own_webhook_is_given_up_after_ten_attempts(desk: Desk, receiver: Receiver) -> None:
    job_id = desk.ended(url=receiver.url)
    receiver.otherwise = DOWN
    for _ in range(12):
        desk.deliver(job_id)
        desk.let_pass(3 * DAY_MS)
    assert desk.states() == [("failed", 10, "REFUSED")]
    assert desk.examine().totals == {}


def test_who_turns_an_endpoint_off_gives_up_what_waits_and_starts_anew_later(desk: Desk, receiver: Receiver) -> None:
    webhook = desk.webhook(receiver.url)
    desk.ended()
    assert not desk.change(webhook, enabled=False).enabled
    assert desk.states() == [("failed", 0, states.ENDPOINT_DISABLED)]
    desk.ended()
    assert desk.change(webhook, enabled=True).disabled_reason is None
    desk.ended()
    assert desk.deliver(webhook.id) == 1
    assert [state for state, _, _ in desk.states()] == ["failed", "delivered"]


def test_what_was_written_while_an_endpoint_went_is_given_up(desk: Desk, receiver: Receiver) -> None:
    webhook = desk.webhook(receiver.url)
    receiver.answers = [Says(before=lambda: desk.change(webhook, enabled=False))]
    desk.ended()
    assert desk.deliver(webhook.id) == 1
    assert desk.states() == [("failed", 1, states.ENDPOINT_DISABLED)]
    assert desk.examine().totals == {}


# -- by hand


def test_a_ping_shows_at_once_how_it_goes_and_counts_for_nothing(desk: Desk, receiver: Receiver) -> None:
    webhook = desk.webhook(receiver.url)
    receiver.answers = [DOWN]
    event = desk.ping(webhook)
    assert desk.messages() == [webhook.id]
    assert desk.deliver(webhook.id) == 1
    assert receiver.received[0].said["data"] == {"webhookId": webhook.id}
    assert receiver.received[0].is_signed_by(desk.secrets[webhook.id])
    (seen,) = desk.events()
    assert (seen.id, seen.type, seen.state, seen.error) == (event.id, "webhook.ping", "failed", "REFUSED")
    assert desk.seen(webhook).failures == 0
    desk.change(webhook, enabled=False)
    with pytest.raises(WebhookDisabled):
        desk.ping(webhook)


def test_an_event_is_told_again_under_its_id_and_out_of_its_turn(desk: Desk, receiver: Receiver) -> None:
    webhook = desk.webhook(receiver.url)
    desk.ended()
    desk.deliver(webhook.id)
    (event,) = desk.events()
    receiver.answers = [DOWN]
    desk.ended()
    desk.deliver(webhook.id)
    desk.messages()
    assert desk.again(event).state == "waiting"
    assert desk.messages() == [webhook.id]
    assert desk.deliver(webhook.id) == 1
    assert receiver.ids() == [event.id, desk.events()[1].id, event.id]
    assert [(state, attempts) for state, attempts, _ in desk.states()] == [("delivered", 2), ("waiting", 1)]
    assert [one.number for one in desk.attempts(event)] == [1, 2]
    assert desk.examine().totals == {}


def test_an_event_that_waits_can_be_told_now(desk: Desk, receiver: Receiver) -> None:
    webhook = desk.webhook(receiver.url)
    receiver.answers = [DOWN]
    desk.ended()
    desk.deliver(webhook.id)
    desk.again(desk.events()[0])
    assert desk.deliver(webhook.id) == 1
    assert desk.states() == [("delivered", 2, None)]


def test_an_event_that_is_being_told_is_not_told_beside(desk: Desk, receiver: Receiver) -> None:
    webhook = desk.webhook(receiver.url)
    desk.ended()
    during: list[int] = []

    def meanwhile() -> None:
        desk.again(desk.events()[0])
        during.append(desk.deliver(webhook.id))

    receiver.answers = [Says(before=meanwhile)]
    assert desk.deliver(webhook.id) == 1
    assert during == [0]
    assert len(receiver.received) == 1


def test_what_is_told_by_hand_has_a_bound_and_an_owner(desk: Desk) -> None:
    webhook = desk.webhook("https://example.com/")
    for _ in range(100):
        desk.ping(webhook)
    with pytest.raises(TooManyWaitingEvents):
        desk.ping(webhook)

    with pytest.raises(WebhookEventNotFound):
        desk.db.transact(by_hand.again, event_id=desk.events()[0].id, user_id=new_id(), now_ms=now_ms())


# -- what is lost


def test_a_lost_message_is_made_good(desk: Desk, receiver: Receiver) -> None:
    webhook = desk.webhook(receiver.url)
    for _ in range(3):
        desk.ended()
    assert desk.messages() == [webhook.id] * 3
    assert desk.requeue() == 0
    desk.let_pass(3 * MINUTE_MS)
    assert desk.requeue() == 1
    assert desk.requeue() == 0
    assert desk.messages() == [webhook.id]
    assert desk.deliver(webhook.id) == 3


def test_a_retry_is_woken_when_it_is_due_and_those_behind_it_not_before(desk: Desk, receiver: Receiver) -> None:
    webhook = desk.webhook(receiver.url)
    receiver.answers = [DOWN, DOWN]
    for _ in range(3):
        desk.ended()
    desk.deliver(webhook.id)
    desk.messages()
    desk.let_pass(10 * SECOND_MS)
    assert desk.requeue() == 1
    assert desk.deliver(webhook.id) == 1
    desk.messages()
    desk.let_pass(3 * MINUTE_MS)
    assert desk.requeue() == 0
    desk.let_pass(3 * MINUTE_MS)
    assert desk.requeue() == 1
    assert desk.deliver(webhook.id) == 3


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_that_dies_is_followed_by_another(desk: Desk, receiver: Receiver, when: str) -> None:
    webhook = desk.webhook(receiver.url)
    desk.ended()
    dead = desk.db.transact(events.claim, target_id=webhook.id, attempt_id=new_id(), now_ms=now_ms())
    assert dead
    assert desk.deliver(webhook.id) == 0
    desk.let_pass(events.LEASE_MS + events.OVERDUE_MS + MINUTE_MS)
    assert desk.requeue() == 1
    if when == "before":
        assert not_heard(desk, dead)
        return
    assert desk.deliver(webhook.id) == 1
    assert not desk.db.transact(events.settle, dead, events.Heard(error="TIMEOUT"), now_ms=now_ms())
    (event,) = desk.events()
    assert (event.state, event.attempts) == ("delivered", 2)
    assert [one.error for one in desk.attempts(event)] == ["TIMEOUT", None]


def not_heard(desk: Desk, dead: events.Claimed) -> bool:
    """The first worker is only slow, and nobody has taken the event meanwhile: what it says counts."""
    assert desk.db.transact(events.settle, dead, events.Heard(status=200), now_ms=now_ms())
    return desk.states() == [("delivered", 1, None)]


def test_an_event_over_which_workers_die_is_given_up_and_holds_up_no_other(desk: Desk, receiver: Receiver) -> None:
    webhook = desk.webhook(receiver.url)
    desk.ended()
    desk.ended()
    for _ in range(states.ATTEMPTS_MAX):
        assert desk.db.transact(events.claim, target_id=webhook.id, attempt_id=new_id(), now_ms=now_ms())
        desk.let_pass(events.LEASE_MS + MINUTE_MS)
    assert desk.deliver(webhook.id) == 2
    assert desk.states() == [("failed", states.ATTEMPTS_MAX + 1, events.LOST), ("delivered", 1, None)]
    assert len(receiver.received) == 1
    assert desk.seen(webhook).enabled
    assert desk.examine().totals == {}


def test_a_defect_of_ours_is_an_attempt_and_no_failure_of_the_endpoint(desk: Desk, receiver: Receiver) -> None:
    async def broken(_name: str, _port: int) -> list[str]:
        raise KeyError

    webhook = desk.webhook(receiver.url)
    desk.ended()
    worker = desk.worker(Poster(loopback=True, find=broken))
    assert worker.deliver(webhook.id) == 1
    assert desk.states() == [("waiting", 1, "INTERNAL")]
    assert desk.seen(webhook).failures == 0
    desk.let_pass(MINUTE_MS)
    assert desk.deliver(webhook.id) == 1
    assert desk.states() == [("delivered", 2, None)]
