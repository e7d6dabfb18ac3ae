"""From the end of a job to the consumer's yes: one event per address, in order, for three days, never twice at once."""

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from atelier.correspondence import webhook_secrets
from atelier.jobs.models import JOBS
from atelier.kernel.clock import now_ms
from atelier.kernel.database import matched
from atelier.kernel.ids import is_id, new_id
from atelier.webhooks import events, states
from atelier.webhooks.errors import SecretsOverlap, TooManyWebhooks
from atelier.webhooks.events import Ended
from atelier.webhooks.keeping import Drop
from atelier.webhooks.models import SECRETS
from tests.stack import KEYRING
from tests.webhooks.desk import ADDRESS, Desk
from tests.webhooks.receiver import Receiver, Says

DOWN = Says(500, b"out of order")


# -- what is written when jobs end


def test_every_way_to_end_is_told_to_the_endpoint_and_to_the_jobs_own_webhook(desk: Desk) -> None:
    webhook = desk.webhook("https://example.com/")
    shop = desk.shop
    canceled = desk.ended(url="https://example.org/own")
    done, bad, lost, late = (desk.job() for _ in range(4))
    assert shop.complete(shop.claim_one(done))
    assert shop.fail(shop.claim_one(bad))
    for _ in range(3):
        shop.claim_one(lost)
        shop.lapse(lost)
        shop.sweep()
    shop.outlive(late)
    shop.sweep()
    told = {(one.target_id, one.job_id, one.type) for one in desk.events()}
    assert told == {
        (canceled, canceled, "job.canceled"),
        (webhook.id, canceled, "job.canceled"),
        (webhook.id, done, "job.completed"),
        (webhook.id, bad, "job.failed"),
        (webhook.id, lost, "job.failed"),
        (webhook.id, late, "job.failed"),
    }
    assert sorted(set(desk.messages())) == sorted({canceled, webhook.id})
    assert desk.examine().totals == {}


def test_a_job_that_goes_on_is_not_told(desk: Desk) -> None:
    desk.webhook("https://example.com/")
    claimed = desk.shop.claim_one(desk.job())
    assert desk.shop.put_back(claimed)
    assert not desk.shop.complete(claimed)
    assert desk.events() == []


def test_only_what_was_asked_for_is_told(desk: Desk) -> None:
    wanted = desk.webhook("https://example.com/", events=("job.canceled", "job.failed"))
    desk.webhook("https://example.com/", events=("job.completed",))
    desk.webhook("https://example.com/", enabled=False)
    desk.webhook("https://example.com/", user_id=new_id())
    one = desk.ended(url="https://example.org/", wanted=("job.completed",))
    assert [(one.target_id, one.job_id) for one in desk.events()] == [(wanted.id, one)]


def test_settling_twice_tells_once(desk: Desk) -> None:
    desk.webhook("https://example.com/")
    completion = desk.shop.completion(desk.shop.claim_one(desk.job()))
    assert desk.shop.settle(completion) != [None]
    assert desk.shop.settle(completion)[0] is not None
    assert len(desk.events()) == 1


def test_an_events_id_is_a_uuid_and_the_same_in_every_run_of_its_transaction(desk: Desk) -> None:
    webhook = desk.webhook("https://example.com/")
    job_id, cause = desk.job(), new_id()

    def ids(cause_id: str) -> list[str]:
        def run(session: Session) -> None:
            events.record(session, [Ended(job_id, "completed", cause_id)], owners=JOBS, now_ms=now_ms())

        before = {one.id for one in desk.events()}
        desk.db.transact(run)
        return [one.id for one in desk.events() if one.id not in before]

    (first,) = ids(cause)
    assert is_id(first)
    assert first[:13] == cause[:13]
    assert first[14] == "7"
    with pytest.raises(Exception, match=r"UNIQUE|Duplicate"):
        ids(cause)
    assert len(ids(new_id())) == 1
    assert {one.target_id for one in desk.events()} == {webhook.id}


def test_what_comes_when_too_many_wait_is_given_up_at_once(desk: Desk) -> None:
    webhook = desk.webhook("https://example.com/")
    job_id = desk.job()
    for _ in range(states.WAITING_MAX // 250):
        causes = [new_id() for _ in range(250)]
        for cause in causes:
            desk.db.transact(events.record, [Ended(job_id, "failed", cause)], owners=JOBS, now_ms=now_ms())
    desk.messages()
    desk.ended()
    last = desk.events()[-1]
    assert (last.state, last.error, last.webhook_id) == ("failed", states.TOO_MANY_WAITING, webhook.id)
    assert desk.messages() == []


def test_endpoints_have_a_bound(desk: Desk) -> None:
    for _ in range(10):
        desk.webhook("https://example.com/")
    with pytest.raises(TooManyWebhooks):
        desk.webhook("https://example.com/")


# -- what is sent


def test_a_job_is_told_with_links_instead_of_content_and_signed(desk: Desk, receiver: Receiver) -> None:
    webhook = desk.webhook(receiver.url)
    done = desk.job()
    assert desk.shop.complete(desk.shop.claim_one(done))
    assert desk.deliver(webhook.id) == 1
    (got,), (event,) = receiver.received, desk.events()
    assert got.is_signed_by(desk.secrets[webhook.id])
    assert got.event_id == event.id
    assert abs(int(got.headers["webhook-timestamp"]) - now_ms() // 1000) <= 5
    assert (got.said["type"], got.said["data"]["id"], got.said["data"]["status"]) == (
        "job.completed",
        done,
        "completed",
    )
    assert got.said["data"]["seq"] == desk.shop.job(done)["seq"]
    assert got.said["data"]["links"]["result"] == f"{ADDRESS}/api/jobs/{done}/result"
    assert "松鼠".encode() not in got.body
    assert len(got.body) < 20_000
    assert desk.states() == [("delivered", 1, None)]
    (attempt,) = desk.attempts(event)
    assert (attempt.number, attempt.status, attempt.answer, attempt.error) == (1, 200, "ok", None)
    assert desk.examine().totals == {}


def test_a_jobs_own_webhook_is_signed_with_its_users_secret(desk: Desk, receiver: Receiver) -> None:
    first, second = (desk.ended(url=receiver.url) for _ in range(2))
    assert desk.deliver(first) == desk.deliver(second) == 1
    assert [one.said["data"]["id"] for one in receiver.received] == [first, second]

    (secret,) = webhook_secrets.good(desk.db, owner_id=desk.user_id, user_id=desk.user_id, keyring=KEYRING)
    assert all(one.is_signed_by(secret) for one in receiver.received)


def test_after_a_rotation_both_secrets_sign_for_a_day(desk: Desk, receiver: Receiver) -> None:
    webhook = desk.webhook(receiver.url)
    old, new = desk.secrets[webhook.id], desk.rotate(webhook)
    desk.ended()
    desk.deliver(webhook.id)
    assert receiver.received[0].is_signed_by(old)
    assert receiver.received[0].is_signed_by(new)


def test_a_second_rotation_within_the_day_takes_no_secret_from_anybody(desk: Desk, receiver: Receiver) -> None:
    webhook = desk.webhook(receiver.url)
    old, new = desk.secrets[webhook.id], desk.rotate(webhook)
    with pytest.raises(SecretsOverlap):
        desk.rotate(webhook)
    desk.ended()
    desk.deliver(webhook.id)
    assert receiver.received[0].is_signed_by(old)
    assert receiver.received[0].is_signed_by(new)
    desk.db.transact(matched, update(SECRETS).values(previous_until_ms=now_ms() - 1))
    desk.rotate(webhook)


@pytest.mark.parametrize(
    ("drop", "signing"), [("previous", (False, True)), ("current", (True, False)), ("all", (False, False))]
)
def test_who_rotates_says_which_secret_signs_no_more(
    desk: Desk, receiver: Receiver, drop: Drop, signing: tuple[bool, bool]
) -> None:
    webhook = desk.webhook(receiver.url)
    old, current = desk.secrets[webhook.id], desk.rotate(webhook)
    newest = desk.rotate(webhook, drop=drop)
    desk.ended()
    desk.deliver(webhook.id)
    got = receiver.received[0]
    assert (got.is_signed_by(old), got.is_signed_by(current)) == signing
    assert got.is_signed_by(newest)


def test_a_secret_that_is_a_day_old_signs_no_more(desk: Desk, receiver: Receiver) -> None:

    webhook = desk.webhook(receiver.url)
    new = desk.rotate(webhook)
    desk.db.transact(matched, update(SECRETS).values(previous_until_ms=now_ms() - 1))
    desk.ended()
    desk.deliver(webhook.id)
    assert receiver.received[0].headers["webhook-signature"].count("v1,") == 1
    assert receiver.received[0].is_signed_by(new)
