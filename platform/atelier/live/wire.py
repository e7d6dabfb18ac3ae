"""How events travel through Redis: one channel for all, and a bounded stream per job for those who come late.

    channel atelier:live             messages of one or more lines `<user> <job or -> <seq> <type> <envelope>`
    stream  atelier:events:<job>     entries `<seq>-0`, field `e` = `<type> <envelope>`; at most about 1 000
    list    atelier:durations:<agent>  milliseconds that the newest runs of an agent took

A stream's ids are the events' own numbers: an event is in it once, however often it is sent, and one that a
superseded worker sends late is refused by the server.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from atelier.live.events import FINAL, Event

CHANNEL = "atelier:live"
STREAM_ENTRIES_MAX = 1_000
ALIVE_SECONDS = 24 * 3_600
FINAL_SECONDS = 3_600
SAMPLES_MAX = 200
SAMPLE_SECONDS = 30 * 24 * 3_600
NO_JOB = b"-"

Command = tuple[bytes | str | int, ...]


class Notice(NamedTuple):
    """An event as a listener gets it: what it needs to route it, and the envelope as it goes out."""

    user_id: str
    job_id: str | None
    seq: int
    type: str
    envelope: bytes


def stream(job_id: str) -> str:
    """The key of a job's stream."""
    return f"atelier:events:{job_id}"


def durations(agent_id: str) -> str:
    """The key of an agent's newest run times."""
    return f"atelier:durations:{agent_id}"


def noticed(user_id: str, event: Event) -> Notice:
    """The event, encoded."""
    return Notice(user_id, event.job_id, event.seq, event.type, event.encode())


def pack(notices: Sequence[Notice]) -> bytes:
    """One message of the channel."""
    return b"\n".join(
        b"%b %b %d %b %b"
        % (
            one.user_id.encode(),
            one.job_id.encode() if one.job_id else NO_JOB,
            one.seq,
            one.type.encode(),
            one.envelope,
        )
        for one in notices
    )


def unpack(message: bytes) -> Iterator[Notice]:
    """The events of a message. Raises ValueError at a line that is none."""
    for line in message.split(b"\n"):
        user_id, job_id, seq, kind, envelope = line.split(b" ", 4)
        yield Notice(user_id.decode(), None if job_id == NO_JOB else job_id.decode(), int(seq), kind.decode(), envelope)


def sampled(agent_id: str, run_ms: int) -> list[Command]:
    """Add one run's milliseconds to what estimates are made of."""
    key = durations(agent_id)
    return [("LPUSH", key, run_ms), ("LTRIM", key, 0, SAMPLES_MAX - 1), ("EXPIRE", key, SAMPLE_SECONDS)]


def commands(notices: Sequence[Notice], *, final: bool) -> list[Command]:
    """Record job events in their streams, then tell everyone; nothing for no events."""
    made: list[Command] = []
    ended: dict[str, bool] = {}
    for one in notices:
        if one.job_id:
            entry = b"%b %b" % (one.type.encode(), one.envelope)
            made.append(("XADD", stream(one.job_id), "MAXLEN", "~", STREAM_ENTRIES_MAX, f"{one.seq}-0", "e", entry))
            ended[one.job_id] = ended.get(one.job_id, final) or one.type in FINAL
    made += [("EXPIRE", stream(job_id), FINAL_SECONDS if over else ALIVE_SECONDS) for job_id, over in ended.items()]
    if notices:
        made.append(("PUBLISH", CHANNEL, pack(notices)))
    return made


def entry(user_id: str, job_id: str, entry_id: bytes, value: bytes) -> Notice:
    """The event that a stream's entry holds. Raises ValueError when it is none."""
    kind, envelope = value.split(b" ", 1)
    return Notice(user_id, job_id, int(entry_id.partition(b"-")[0]), kind.decode(), envelope)
