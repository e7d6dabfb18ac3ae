"""What workers count of direct uploads arrives where it is scraped."""

from typing import cast

from redis import Redis

from atelier.live import counters
from atelier.live.publisher import Publisher
from web.gauges import Business


def test_looks_at_direct_uploads_are_counted(redis_url: str) -> None:
    publisher = Publisher(redis_url)
    for outcome, reason in (("kept", ""), ("kept", ""), ("refused", "IMAGE_TOO_LARGE")):
        assert publisher.count(counters.add([counters.checked(outcome=outcome, reason=reason)]))
    publisher.close()
    with Redis.from_url(redis_url) as redis:
        stored = cast("dict[bytes, bytes]", redis.hgetall(counters.KEY))
    families = {one.name: one for one in Business(gauges=None, depths=None, counts=counters.read(stored)).collect()}
    found = {tuple(one.labels.values()): one.value for one in families["atelier_upload_checks"].samples}
    assert found == {("kept", ""): 2, ("refused", "IMAGE_TOO_LARGE"): 1}
