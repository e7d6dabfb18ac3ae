"""A Celery task that does nothing, on Redis: how many a second from publish to done, and how long one takes.

python -m benchmarks.floors.celery --worker BROKER_URL POOL CONCURRENCY     the worker
python -m benchmarks.floors.celery BROKER_URL COUNT                         the sender; prints what it measured as JSON

Both use the queue `floor` and the list `floor:done` only.
"""

import json
import sys
import time
from typing import cast

import redis
from celery import Celery  # noqa: TID251 - what is measured here is plain Celery

SINGLE_RUNS = 300


class Floor:
    """The application, the same in worker and sender."""

    def __init__(self, broker_url: str) -> None:
        self.app = Celery("floor", broker=broker_url, backend=None)
        self.app.conf.update(
            task_ignore_result=True,
            task_default_queue="floor",
            task_acks_late=True,
            worker_prefetch_multiplier=1,
            broker_connection_retry_on_startup=True,
        )
        self.store = redis.Redis.from_url(broker_url)
        store = self.store

        def run(sent: float) -> None:
            store.lpush("floor:done", wall_clock() - sent)

        self._task = self.app.task(name="floor.run")(run)

    def send(self) -> None:
        """Publish one task."""
        self._task.delay(wall_clock())

    def wait_for(self, count: int) -> None:
        """Wait until this many tasks are done."""
        while self.store.llen("floor:done") < count:
            time.sleep(0.001)

    def measure(self, count: int) -> dict[str, float]:
        """Publish `count` tasks as fast as possible, then some one by one."""
        self.store.delete("floor", "floor:done")
        self.send()
        self.wait_for(1)
        began = time.monotonic()
        for _ in range(count):
            self.send()
        published = time.monotonic()
        self.wait_for(count + 1)
        done = time.monotonic()
        self.store.delete("floor:done")
        for number in range(SINGLE_RUNS):
            self.send()
            self.wait_for(number + 1)
        told = cast("list[bytes]", self.store.lrange("floor:done", 0, -1))
        waits = sorted(float(value) * 1_000 for value in told)
        return {
            "published": count / (published - began),
            "done": count / (done - began),
            "p50_ms": waits[SINGLE_RUNS // 2],
            "p95_ms": waits[SINGLE_RUNS * 95 // 100],
        }


def wall_clock() -> float:
    """Seconds, comparable between processes."""
    return time.time()  # noqa: TID251 - the floor knows nothing of the platform


def main() -> None:
    """Be the worker or the sender."""
    if sys.argv[1] == "--worker":
        _, _, broker_url, pool, concurrency = sys.argv
        options = ["-P", pool, "-c", concurrency, "-l", "error", "--without-gossip", "--without-mingle"]
        Floor(broker_url).app.worker_main(["worker", *options])
    else:
        print(json.dumps(Floor(sys.argv[1]).measure(int(sys.argv[2]))))


if __name__ == "__main__":
    main()
