"""A great many finished jobs with their transfers, attempts and results, written by the server itself.

Job number n belongs to person n modulo the number of people, and is its person's n ÷ people-th: it holds one credit
and takes it. Ids are UUIDv7s of the past, in order, so that what is submitted later is newer.
"""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, text

from atelier.catalog import seed_content
from atelier.kernel.clock import now_ms
from atelier.kernel.database import Database
from atelier.ledger.models import CLEARING, PLATFORM
from benchmarks.people import AMOUNT, Person

CHUNK = 50_000
SPAN_MS = 5

# :first and :last bound the numbers of one chunk; the hexadecimal digits of the time come first in an id.
_ID = (
    "lower(concat(left(lpad(hex(:epoch + n.seq * :span), 12, '0'), 8), '-', right(lpad(hex(:epoch + n.seq * :span), 12,"
    " '0'), 4), '-7{kind}-8000-', lpad(hex(n.seq), 12, '0')))"
)
_JOB, _HOLD, _CAPTURE, _SHARE = (_ID.format(kind=kind) for kind in ("000", "001", "002", "003"))
_AT = ":epoch + n.seq * :span"
_FROM = "from bench_numbers n join bench_people p on p.number = n.seq mod :people where n.seq between :first and :last"
_TURN = "(n.seq div :people)"

_JOBS = (
    "insert into jobs(id, user_id, agent_id, agent_version, kind, queue, provider, state, fence, seq, attempts,"
    " attempts_max, run_after_ms, publishes, cancel_requested, deadline_ms, held, used, input, config, created_ms,"
    f" started_ms, finished_ms) select {_JOB}, p.id, :agent, 1, 'text', 'generation.text', 'echo', 'completed', 1,"
    f" 1000002, 1, 4, 0, 0, 0, {_AT} + 3600000, 1, 1, '{{\"prompt\":\"a cat\"}}', '{{}}', {_AT}, {_AT} + 4, {_AT} + 9"
    f" {_FROM}"
)
_WAITING = (
    "insert into jobs(id, user_id, agent_id, agent_version, kind, queue, provider, state, attempts_max, sweep_ms,"
    f" deadline_ms, rank_ms, held, input, config, created_ms) select {_JOB}, p.id, :agent, 1, 'text',"
    f" 'generation.text', 'echo', 'pending', 4, {_AT} + 86400000, {_AT} + 86400000, {_AT}, 0,"
    f" '{{\"prompt\":\"a cat\"}}', '{{}}', {_AT} {_FROM}"
)
_LANES = "insert into lanes(queue, user_id, provider) select distinct queue, user_id, provider from jobs"
_HOLDS = (
    "insert into transfers(id, `key`, kind, debit_id, credit_id, amount, account_id, account_version, balance_after,"
    f" ref_type, ref_id, note, created_ms) select {_HOLD}, concat('hold:job:', {_JOB}), 'hold', p.id, :clearing, 1,"
    f" p.id, 2 + 2 * {_TURN}, :amount - {_TURN}, 'job', {_JOB}, 'echo', {_AT} {_FROM}"
)
_CAPTURES = (
    "insert into transfers(id, `key`, kind, debit_id, credit_id, amount, pending_id, account_id, account_version,"
    f" balance_after, ref_type, ref_id, note, created_ms) select {_CAPTURE}, concat('capture:job:', {_JOB}), 'capture',"
    f" p.id, :clearing, 1, {_HOLD}, p.id, 3 + 2 * {_TURN}, :amount - {_TURN} - 1, 'job', {_JOB}, 'echo', {_AT} + 9"
    f" {_FROM}"
)
_SHARES = (
    "insert into transfers(id, `key`, kind, debit_id, credit_id, amount, ref_type, ref_id, note, created_ms)"
    f" select {_SHARE}, concat('share:job:', {_JOB}, '\\:platform'), 'share', :clearing, :platform, 1, 'job', {_JOB},"
    f" 'echo', {_AT} + 9 {_FROM}"
)
_ATTEMPTS = (
    "insert into attempts(job_id, fence, number, provider, provider_key, outcome, started_ms, finished_ms)"
    f" select {_JOB}, 1, 1, 'echo', concat('job:', {_JOB}), 'completed', {_AT} + 4, {_AT} + 9 {_FROM}"
)
_RESULTS = (
    f"insert into results(job_id, document) select {_JOB},"
    ' \'{"outputs":[{"type":"text","contentType":"text/plain","text":"a cat","metadata":{}}]}\''
    f" {_FROM}"
)
_ACCOUNTS = (
    "update accounts a join (select p.id, count(*) jobs from bench_numbers n join bench_people p"
    " on p.number = n.seq mod :people where n.seq < :count group by p.id) d on d.id = a.id"
    " set a.debits_posted = a.debits_posted + d.jobs, a.version = a.version + 2 * d.jobs"
)

# What a load of submissions has left behind is cancelled at once: its credits go back, and nothing waits any longer.
_RELEASES = (
    "insert into transfers(id, `key`, kind, debit_id, credit_id, amount, pending_id, account_id, account_version,"
    " balance_after, ref_type, ref_id, note, created_ms) select concat(left(h.id, 19), 'c', substr(h.id, 21)),"
    " concat('release:job:', j.id), 'release', h.debit_id, h.credit_id, h.amount, h.id, h.account_id,"
    " a.version + row_number() over (partition by a.id order by j.id), a.credits_posted - a.debits_posted,"
    " 'job', j.id, h.note, :now from jobs j join transfers h on h.`key` = concat('hold:job:', j.id)"
    " join accounts a on a.id = j.user_id where j.state = 'pending'"
)
_FREED = (
    "update accounts a join (select user_id, count(*) jobs, sum(held) held from jobs where state = 'pending'"
    " group by user_id) d on d.user_id = a.id set a.debits_pending = a.debits_pending - d.held,"
    " a.version = a.version + d.jobs"
)
_CANCELED = (
    "update jobs set state = 'canceled', seq = 1000001, fence = 1, finished_ms = :now, sweep_ms = null"
    " where state = 'pending'"
)


def finished(database: Database, people: Sequence[Person], *, count: int, say: Callable[[int], None]) -> list[str]:
    """Insert so many finished jobs; the ids of the newest ten thousand, the oldest of them first.

    `say` is told how many there are. The people must have nothing but what they were invited with.
    """
    epoch = now_ms() - count * SPAN_MS - 60_000
    given = {
        "epoch": epoch,
        "span": SPAN_MS,
        "people": len(people),
        "agent": seed_content.ECHO.id,
        "clearing": CLEARING,
        "platform": PLATFORM,
        "amount": AMOUNT,
        "count": count,
    }
    with database.writer.connect() as connection:
        _number(connection, people, count=count)
        for first in range(0, count, CHUNK):
            bounds = {"first": first, "last": min(first + CHUNK, count) - 1}
            for statement in (_JOBS, _HOLDS, _CAPTURES, _SHARES, _ATTEMPTS, _RESULTS):
                connection.execute(text(statement), given | bounds)
            connection.commit()
            say(min(first + CHUNK, count))
        connection.execute(text(_ACCOUNTS), given)
        connection.execute(text("drop table bench_numbers"))
        connection.execute(text("drop table bench_people"))
        connection.commit()
        _analyze(connection)
    return [_job_id(epoch, number) for number in range(max(0, count - 10_000), count)]


def waiting(database: Database, people: Sequence[Person], *, count: int) -> None:
    """Insert so many pending jobs that cost nothing, dealt out to the people in turn, and their lanes."""
    given = {
        "epoch": now_ms() - count * SPAN_MS - 60_000,
        "span": SPAN_MS,
        "people": len(people),
        "agent": seed_content.ECHO.id,
    }
    with database.writer.connect() as connection:
        _number(connection, people, count=count)
        for first in range(0, count, CHUNK):
            bounds = {"first": first, "last": min(first + CHUNK, count) - 1}
            connection.execute(text(_WAITING), given | bounds)
            connection.commit()
        connection.execute(text(_LANES))
        connection.execute(text("drop table bench_numbers"))
        connection.execute(text("drop table bench_people"))
        connection.commit()
        _analyze(connection)


def cancel_waiting(database: Database) -> None:
    """Cancel every pending job with its hold, and forget the messages that would have announced them."""
    with database.writer.connect() as connection:
        for statement in (_RELEASES, _FREED, _CANCELED, "delete from outbox"):
            connection.execute(text(statement), {"now": now_ms()})
        connection.commit()
        _analyze(connection)


def _number(connection: Connection, people: Sequence[Person], *, count: int) -> None:
    connection.execute(text("create table bench_numbers(seq bigint primary key)"))
    connection.execute(text("create table bench_people(number int primary key, id char(36) character set ascii)"))
    connection.execute(text(f"insert into bench_numbers select seq from seq_0_to_{count - 1}"))  # noqa: S608 - a number
    rows = [{"number": number, "id": person.user_id} for number, person in enumerate(people)]
    connection.execute(text("insert into bench_people values (:number, :id)"), rows)
    connection.commit()


def _analyze(connection: Connection) -> None:
    # As the server's own statistics would be after a while.
    for table in ("jobs", "transfers", "attempts", "results", "accounts", "outbox", "lanes"):
        connection.execute(text(f"analyze table {table}")).all()


def _job_id(epoch: int, number: int) -> str:
    at = f"{epoch + number * SPAN_MS:012x}"
    return f"{at[:8]}-{at[8:]}-7000-8000-{number:012x}"
