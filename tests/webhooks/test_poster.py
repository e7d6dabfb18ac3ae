"""One POST to where a user says: to exactly the address that was judged, once, within bounds, and led nowhere else."""

import asyncio
import ssl
import threading
import time
from collections.abc import Sequence

import pytest

from atelier.callouts import poster
from atelier.callouts.poster import Answer, NotAnswered, Poster
from tests.servers import LOOPBACK, free_port, until
from tests.webhooks.conftest import NAME
from tests.webhooks.receiver import Receiver, Says

PUBLIC = "93.184.215.14"
Secure = tuple[Receiver, ssl.SSLContext]


class Names:
    """Who answers for names: the answers one after the other, the last for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = [*answers]
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, name: str, port: int) -> Sequence[str]:
        self.asked.append((name, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def post(one: Poster, url: str) -> Answer:
    return one.post(url, body=b"{}", headers={"webhook-id": "1"})


def refused(one: Poster, url: str) -> str:
    with pytest.raises(NotAnswered) as failure:
        post(one, url)
    return failure.value.reason


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.31.0.1", "192.168.0.1", "169.254.169.254"),  # noqa: S104
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::", "64:ff9b::a00:1", "not an address"),
    ],
)
def test_a_name_that_leads_inside_is_not_connected_to(address: str, receiver: Receiver) -> None:
    names = Names([address])
    one = Poster(find=names)
    assert refused(one, f"https://{NAME}/") == "ADDRESS_FORBIDDEN"
    assert names.asked == [(NAME, 443)]
    assert receiver.received == []


def test_one_address_inside_spoils_all() -> None:
    assert refused(Poster(find=Names([PUBLIC, "127.0.0.1"])), f"https://{NAME}/") == "ADDRESS_FORBIDDEN"


def test_a_name_is_judged_again_at_every_call_and_looked_up_once_for_each(secure: Secure) -> None:
    """Rebinding: the second answer comes when the owner likes, and never between judging and connecting."""
    receiver, trusted = secure
    names = Names([LOOPBACK], ["10.0.0.1"], ["169.254.169.254"])
    one = Poster(loopback=True, find=names, certificates=trusted)
    url = f"https://{NAME}:{receiver.port}/hook"
    assert post(one, url).status == 200
    assert refused(one, url) == "ADDRESS_FORBIDDEN"
    assert refused(one, url) == "ADDRESS_FORBIDDEN"
    assert len(names.asked) == 3
    assert len(receiver.received) == 1


def test_the_name_stays_in_the_certificate_and_the_host_while_the_address_is_pinned(secure: Secure) -> None:
    receiver, trusted = secure
    one = Poster(loopback=True, find=Names([LOOPBACK]), certificates=trusted)
    assert post(one, f"https://{NAME}:{receiver.port}/hook?a=b").status == 200
    (got,) = receiver.received
    assert (got.path, got.headers["host"]) == ("/hook?a=b", f"{NAME}:{receiver.port}")
    assert got.headers["accept-encoding"] == "identity"
    assert refused(one, f"https://other.example.test:{receiver.port}/") == "TLS_FAILED"
    assert refused(Poster(loopback=True, find=Names([LOOPBACK])), f"https://{NAME}:{receiver.port}/") == "TLS_FAILED"


def test_an_address_without_a_route_is_followed_by_the_next(secure: Secure) -> None:
    receiver, trusted = secure
    one = Poster(loopback=True, find=Names(["127.255.255.254", LOOPBACK]), certificates=trusted)
    assert post(one, f"https://{NAME}:{receiver.port}/").status == 200


def test_http_is_for_this_machine_only() -> None:
    assert refused(Poster(loopback=True, find=Names([PUBLIC])), f"http://{NAME}/") == "ADDRESS_FORBIDDEN"
    assert refused(Poster(loopback=True, find=Names([PUBLIC])), f"https://{NAME}:25/") == "ADDRESS_FORBIDDEN"
    assert refused(Poster(find=Names([PUBLIC])), f"http://{NAME}/") == "ADDRESS_FORBIDDEN"


def test_a_redirect_is_an_answer_and_not_followed(receiver: Receiver) -> None:
    receiver.otherwise = Says(302, headers={"Location": f"http://{LOOPBACK}:{receiver.port}/inside"})
    assert post(Poster(loopback=True), receiver.url).status == 302
    assert [one.path for one in receiver.received] == ["/hook"]


def test_no_proxy_of_the_environment_is_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://{LOOPBACK}:{free_port()}")
    assert post(Poster(loopback=True), receiver.url).status == 200


def test_an_answer_has_a_bound_in_size_and_time(receiver: Receiver) -> None:
    receiver.answers = [Says(body=b"x" * 1_000_000)]
    assert len(post(Poster(loopback=True), receiver.url).body) == poster.ANSWER_BYTES_MAX
    release: list[bool] = []
    receiver.answers = [Says(before=lambda: _wait(release))]
    assert refused(Poster(loopback=True, seconds=0.3), receiver.url) == "TIMEOUT"
    release.append(True)


def _wait(release: list[bool]) -> None:
    until(lambda: bool(release), what="the other side has given up")


def test_a_name_that_is_looked_up_slowly_holds_a_call_up_no_longer_than_its_time() -> None:
    given_up = threading.Event()

    async def slow(_name: str, _port: int) -> list[str]:
        await asyncio.get_running_loop().run_in_executor(None, given_up.wait, 10)
        return []

    begun = time.monotonic()
    assert refused(Poster(find=slow, seconds=0.1), "https://example.com/") == "TIMEOUT"
    took = time.monotonic() - begun
    given_up.set()
    assert took < 8


def test_who_is_not_there_is_told_apart(receiver: Receiver) -> None:
    assert refused(Poster(loopback=True), f"http://{LOOPBACK}:{free_port()}/") == "CONNECTION_FAILED"
    receiver.answers = [Says(cut=True)]
    assert refused(Poster(loopback=True), receiver.url) == "CONNECTION_BROKEN"
    assert refused(Poster(find=Names([])), f"https://{NAME}/") == "ADDRESS_FORBIDDEN"

    async def unknown(_name: str, _port: int) -> Sequence[str]:
        raise OSError

    assert refused(Poster(find=unknown), f"https://{NAME}/") == "NAME_UNKNOWN"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *((None, None), ("", None), ("12", 12.0), (" 7 ", 7.0), ("-1", None), ("1e9", None), ("9" * 40, None)),
        *(("soon", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("Wed, 99 Oct 2015 07:28:00 GMT", None)),
    ],
)
def test_retry_after_is_read_in_both_its_forms(value: str | None, seconds: float | None) -> None:
    assert poster.retry_after(value) == seconds
