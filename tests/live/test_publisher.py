import json
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
from redis import Redis

from atelier.kernel.ids import new_id
from atelier.live import wire
from atelier.live.events import Event
from atelier.live.publisher import Publisher
from tests.servers import ValkeyServer, until

AT_MS = 1_700_000_000_123


def event(seq: int, kind: str = "job.progress", *, job_id: str | None = "job-1", **data: Any) -> Event:
    return Event(type=kind, job_id=job_id, seq=seq, at_ms=AT_MS, data=data)


def recorded(redis: Redis, job_id: str = "job-1") -> list[dict[str, Any]]:
    entries: Any = redis.xrange(wire.stream(job_id))
    return [json.loads(fields[b"e"].split(b" ", 1)[1]) for _, fields in entries]


def next_message(listener: Any) -> dict[str, Any]:
    def message() -> dict[str, Any] | None:
        found: dict[str, Any] | None = listener.get_message(timeout=1)
        return found

    return until(message, what="a message") or {}


@pytest.fixture
def redis(redis_url: str) -> Redis:
    return Redis.from_url(redis_url)


def test_the_envelope_is_the_one_that_clients_know() -> None:
    assert json.loads(event(7, "job.output", delta='a "quoted"\nline 中').encode()) == {
        "type": "job.output",
        "jobId": "job-1",
        "seq": 7,
        "at": "2023-11-14T22:13:20.123Z",
        "data": {"delta": 'a "quoted"\nline 中'},
    }
    assert json.loads(event(1, "credits.changed", job_id=None).encode())["jobId"] is None


def test_a_message_carries_several_events_whatever_they_contain() -> None:
    events = [event(1, "job.output", delta="one\ntwo three"), event(2, "credits.changed", job_id=None, balance=5)]
    notices = [wire.noticed("me", one) for one in events]
    assert list(wire.unpack(wire.pack(notices))) == notices


@pytest.mark.parametrize("garbage", [b"", b"x", b"a b c d e", b"me job notanumber job.running {}"])
def test_a_message_that_is_none_is_refused(garbage: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        list(wire.unpack(garbage))


def test_events_are_recorded_once_in_order_and_told(redis_url: str, redis: Redis) -> None:
    listener: Any = redis.pubsub()
    listener.subscribe(wire.CHANNEL)
    assert next_message(listener)["type"] == "subscribe"
    publisher = Publisher(redis_url)
    assert publisher.publish("me", [event(1, "job.running"), event(2, progress=0.5)])
    assert publisher.publish("me", [event(2, progress=0.5)])
    assert publisher.publish("me", [event(1, "job.running")])
    assert [one["seq"] for one in recorded(redis)] == [1, 2]
    told = list(wire.unpack(next_message(listener)["data"]))
    assert [(one.user_id, one.job_id, one.seq, one.type) for one in told] == [
        ("me", "job-1", 1, "job.running"),
        ("me", "job-1", 2, "job.progress"),
    ]
    publisher.close()
    listener.close()


def test_what_is_only_counted_is_told_to_nobody(redis_url: str, redis: Redis) -> None:
    listener: Any = redis.pubsub()
    listener.subscribe(wire.CHANNEL)
    assert next_message(listener)["type"] == "subscribe"
    publisher = Publisher(redis_url)
    assert publisher.count([("INCR", "counted")])
    assert publisher.publish("me", [event(1, "job.running")])
    assert [one.seq for one in wire.unpack(next_message(listener)["data"])] == [1]
    assert redis.get("counted") == b"1"
    publisher.close()
    listener.close()


def test_a_stream_is_bounded_and_goes_away(redis_url: str, redis: Redis) -> None:
    publisher = Publisher(redis_url)
    publisher.publish("me", [event(seq) for seq in range(1, 5_001)])
    assert 1_000 <= redis.xlen(wire.stream("job-1")) <= 1_200
    assert 23 * 3_600 < redis.ttl(wire.stream("job-1")) <= 24 * 3_600
    publisher.publish("me", [event(6_000, "job.completed")], final=True)
    assert redis.ttl(wire.stream("job-1")) <= 3_600
    publisher.close()


def test_samples_of_run_times_are_bounded(redis_url: str, redis: Redis) -> None:
    publisher, agent = Publisher(redis_url), new_id()
    for ms in range(300):
        publisher.publish("me", [event(ms + 1)], also=wire.sampled(agent, ms))
    kept: Any = redis.lrange(wire.durations(agent), 0, -1)
    assert [int(ms) for ms in kept] == list(range(299, 99, -1))
    publisher.close()


def test_a_restarted_server_costs_no_event(valkey_server: Callable[..., ValkeyServer]) -> None:
    server = valkey_server()
    publisher = Publisher(server.url)
    assert publisher.publish("me", [event(1)])
    server.kill()
    assert not publisher.publish("me", [event(2)])
    server.run()
    assert publisher.publish("me", [event(3)])
    with server.client() as redis:
        assert [one["seq"] for one in recorded(redis)] == [3]
    publisher.close()


def test_a_frozen_server_costs_a_moment_once(valkey_server: Callable[..., ValkeyServer]) -> None:
    server = valkey_server()
    publisher = Publisher(server.url)
    publisher.publish("me", [event(1)])
    server.freeze()
    began = monotonic()
    for seq in range(2, 200):
        assert not publisher.publish("me", [event(seq)])
    # Two hundred calls that waited for their answers would take fifty seconds.
    assert monotonic() - began < 10
    assert not publisher.publish("me", [event(500, "job.completed")], final=True)
    server.thaw()
    assert until(lambda: publisher.publish("me", [event(501)]), what="sent again")
    publisher.close()


def test_threads_share_a_publisher(redis_url: str, redis: Redis) -> None:
    publisher = Publisher(redis_url)

    def work(job_id: str) -> None:
        for seq in range(1, 51):
            assert publisher.publish("me", [event(seq, job_id=job_id)])

    jobs = [f"job-{number}" for number in range(8)]
    threads = [threading.Thread(target=work, args=(job_id,)) for job_id in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for job_id in jobs:
        assert [one["seq"] for one in recorded(redis, job_id)] == list(range(1, 51))
    publisher.close()


def test_publishing_never_raises_without_a_server() -> None:
    publisher = Publisher("redis://127.0.0.1:1/0")
    assert not publisher.publish("me", [event(1, "job.completed")], final=True)
    publisher.close()
