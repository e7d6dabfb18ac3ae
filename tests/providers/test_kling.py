"""Kling's wire format: signatures against known vectors, and what each answer means for a job."""

from collections.abc import Iterator

import pytest

from atelier.providers.contract import GenerationRequest, ProviderUnavailable
from atelier.providers.errors import ContentRefused, Misconfigured, ModelMissing, QuotaExhausted, Throttled
from atelier.providers.fake_kling import FakeKling, Faults
from atelier.providers.kling import account, answers, callbacks
from atelier.providers.kling.account import Account
from atelier.providers.kling.adapter import Kling
from atelier.providers.later import Absent, Accepted, Rejected, Unknown

SECRET = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
BODY = b'{"id":"1234567890","status":"succeeded","message":"","create_time":1781080778802,"update_time":1781080794151}'
HEADERS = {
    "webhook-id": "9876543210",
    "webhook-timestamp": "1781080794",
    "webhook-signature": "v1,AAAA v1,UsKlJP00XoQyOn410NM9xv34sP+Gl0jnOO9Lcpr7NJ4=",
}
SENT_MS = 1_781_080_794_000


def request(key: str = "job:1") -> GenerationRequest:
    return GenerationRequest(provider_key=key, attempt=1, model="", prompt="松鼠过桥")


@pytest.fixture
def fake() -> Iterator[FakeKling]:
    with FakeKling(seconds=lambda: 600.0) as running:
        yield running


@pytest.fixture
def kling(fake: FakeKling) -> Iterator[Kling]:
    made = Kling(Account(url=fake.url, secret_key=fake.api_key, seconds=2.0))
    yield made
    made.close()


def test_a_token_is_the_one_of_its_vector() -> None:
    made = account.token("ak-test", "sk-test", expires=1767227400, not_before=1767225595)
    assert made == (
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJhay10ZXN0IiwiZXhwIjoxNzY3MjI3NDAwLCJuYmYiOjE3NjcyMjU1OTV9."
        "dDxpWSVSj5kNmv3WvJxz25pk9735kQ4OjYPb-MoIoH0"
    )


class TestCallbacks:
    def test_one_is_genuine_by_any_of_its_signatures(self) -> None:
        assert callbacks.is_genuine(SECRET, HEADERS, BODY, now_ms=SENT_MS)

    @pytest.mark.parametrize("name", sorted(HEADERS))
    def test_nothing_of_it_can_be_changed(self, name: str) -> None:
        changed = {**HEADERS, name: "1781080795" if name == "webhook-timestamp" else "v1,AAAA"}
        assert not callbacks.is_genuine(SECRET, changed, BODY, now_ms=SENT_MS)
        assert not callbacks.is_genuine(SECRET, HEADERS, BODY + b" ", now_ms=SENT_MS)

    @pytest.mark.parametrize("sent_at", ["", "x", "१७८", "1" * 13])
    def test_one_without_a_time_is_none(self, sent_at: str) -> None:
        assert not callbacks.is_genuine(SECRET, {**HEADERS, "webhook-timestamp": sent_at}, BODY, now_ms=SENT_MS)

    def test_an_old_one_is_none(self) -> None:
        assert callbacks.is_genuine(SECRET, HEADERS, BODY, now_ms=SENT_MS + 300_000)
        assert not callbacks.is_genuine(SECRET, HEADERS, BODY, now_ms=SENT_MS + 302_000)


class TestSubmitting:
    def test_it_is_taken_once_under_its_key(self, kling: Kling, fake: FakeKling) -> None:
        first = kling.submit(request())
        assert isinstance(first, Accepted)
        assert kling.submit(request()) == first == kling.find("job:1")
        assert fake.books.generations() == {"job:1": 1}

    @pytest.mark.parametrize(
        ("faults", "taken"),
        [
            (Faults(unanswered=1.0), True),
            (Faults(unsure=1.0), True),
            (Faults(broken=1.0), False),
            (Faults(late=1.0, late_seconds=60.0), False),
        ],
    )
    def test_what_nobody_can_say_is_unknown(self, kling: Kling, fake: FakeKling, faults: Faults, taken: bool) -> None:  # noqa: FBT001 - parameter
        fake.faults = faults
        assert isinstance(kling.submit(request()), Unknown)
        assert isinstance(kling.find("job:1"), Accepted if taken else Absent)

    def test_a_provider_that_is_full_has_certainly_not_taken_it(self, kling: Kling, fake: FakeKling) -> None:
        fake.faults.full = 1.0
        submitted = kling.submit(request())
        assert isinstance(submitted, Rejected)
        assert isinstance(submitted.failure, Throttled)

    def test_nothing_was_sent_where_nobody_listens(self, fake: FakeKling) -> None:
        made = Kling(Account(url="http://127.0.0.1:9", secret_key=fake.api_key, seconds=2.0))
        submitted = made.submit(request())
        made.close()
        assert isinstance(submitted, Rejected)
        assert type(submitted.failure) is ProviderUnavailable

    def test_an_outage_is_no_answer_to_whether_it_is_there(self, kling: Kling, fake: FakeKling) -> None:
        fake.faults.deaf = 1.0
        assert isinstance(kling.find("job:1"), Unknown)


class TestPolling:
    def test_many_are_found_in_the_list_and_few_by_their_ids(self, kling: Kling, fake: FakeKling) -> None:
        made = [kling.submit(request(f"job:{number}")) for number in range(12)]
        ids = [one.upstream_id for one in made if isinstance(one, Accepted)]
        fake.finish("job:3")
        told = kling.poll([*ids, "0"])
        assert [told[one].state for one in ids] == ["running"] * 3 + ["succeeded"] + ["running"] * 8
        assert told["0"].state == "missing"
        assert fake.books.calls["look"] == 1
        assert {one: status.state for one, status in kling.poll([ids[3], "0"]).items()} == {
            ids[3]: "succeeded",
            "0": "missing",
        }
        assert kling.fetch(told[ids[3]]).outputs[0].content_type == "video/mp4"

    @pytest.mark.parametrize("count", [2, 12])
    def test_a_task_in_a_state_that_we_do_not_know_is_not_missing(
        self, kling: Kling, fake: FakeKling, count: int
    ) -> None:
        made = [kling.submit(request(f"job:{number}")) for number in range(count)]
        ids = [one.upstream_id for one in made if isinstance(one, Accepted)]
        for one in ids[1:]:
            fake.books.tasks[one].working = "queueing"
        told = kling.poll([*ids, "0"])
        assert {one: status.state for one, status in told.items()} == {ids[0]: "running", "0": "missing"}

    def test_a_state_that_we_do_not_know_is_no_reason_to_give_it_up(self) -> None:
        assert answers.status_of({"task_status": "resting"}) is None
        newer = answers.status_of({"task_status": "succeeded", "updated_at": 7})
        assert newer is not None
        assert (newer.state, newer.ended_ms) == ("succeeded", 7)

    @pytest.mark.parametrize(
        ("status", "code", "kind"),
        [
            (401, 1002, Misconfigured),
            (429, 1101, QuotaExhausted),
            (429, 1303, Throttled),
            (429, None, Throttled),
            (400, 1301, ContentRefused),
            (404, 1203, ModelMissing),
            (503, 5001, ProviderUnavailable),
        ],
    )
    def test_errors_say_whose_fault_it_is(self, status: int, code: int | None, kind: type[Exception]) -> None:
        assert type(answers.failure(answers.Answer(status, code, None))) is kind

    @pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"code":"0"}', b"\xff", b'{"data":{"task_id":7}}'])
    def test_nonsense_is_no_success(self, body: bytes) -> None:
        answer = answers.parsed(200, body)
        assert answer.in_doubt
        assert answers.task_id(answer.data) is None
