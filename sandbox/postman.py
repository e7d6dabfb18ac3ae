"""Delivers notices: each until the merchant has taken it, on the schedules of the real gateways."""

import asyncio
import contextlib
import heapq
from typing import Any, Final

import aiohttp

from sandbox import alipay_messages
from sandbox.clock import HOUR_MS, MINUTE_MS, SECOND_MS, Clock
from sandbox.faults import Faults, Taken
from sandbox.signing import Letter, Writer
from sandbox.till import Till
from sandbox.trade import Notice, Provider

# How long after the last attempt the next one comes; after these, nobody tries again.
SCHEDULES: Final[dict[Provider, tuple[int, ...]]] = {
    "alipay": (4 * MINUTE_MS, 10 * MINUTE_MS, 10 * MINUTE_MS, HOUR_MS, 2 * HOUR_MS, 6 * HOUR_MS, 15 * HOUR_MS),
    "wechat": (
        *(15 * SECOND_MS, 15 * SECOND_MS, 30 * SECOND_MS, 3 * MINUTE_MS, 10 * MINUTE_MS, 20 * MINUTE_MS),
        *(30 * MINUTE_MS, 30 * MINUTE_MS, 30 * MINUTE_MS, HOUR_MS, 3 * HOUR_MS, 3 * HOUR_MS, 3 * HOUR_MS),
        *(6 * HOUR_MS, 6 * HOUR_MS),
    ),
}
ANSWER_SECONDS: Final[dict[Provider, float]] = {"alipay": 15.0, "wechat": 5.0}
_ANSWER_KEPT: Final = 200
_CONNECTIONS_MAX: Final = 100


def next_due(provider: Provider, *, attempts: int, last_ms: int, speed: float) -> int | None:
    """When the attempt after so many ones is due; None when there is none. `speed` 60 makes minutes of hours."""
    schedule = SCHEDULES[provider]
    return last_ms + int(schedule[attempts - 1] / speed) if attempts <= len(schedule) else None


def is_taken(provider: Provider, status: int, answer: bytes) -> bool:
    """Whether this answer means that the merchant has the notice."""
    return answer == b"success" and status == 200 if provider == "alipay" else status in {200, 204}


class Postman:
    """One per sandbox. Run it as a task; whoever changes the books or the clock rings the bell."""

    def __init__(self, till: Till, *, writer: Writer, faults: Faults, bell: asyncio.Event) -> None:
        self.speed = 1.0
        self._till = till
        self._books = till.books
        self._clock: Clock = till.clock
        self._writer = writer
        self._faults = faults
        self._wake = bell
        self._under_way: set[asyncio.Task[None]] = set()
        self._remember()

    def _remember(self) -> None:
        """Take up what was not through when the sandbox ended."""
        # What is to be done when: deliver a notice, or see whether the time of a trade is over.
        self._due: list[tuple[int, str, int]] = []
        self._held: set[int] = set()
        self._seen = {"notices": 0, "trades": 0}
        for notice in self._books.notices(waiting=True):
            self._plan(notice)
        for expires_ms, trade_id in self._books.expiring():
            self._push(expires_ms, "trade", trade_id)
        self._seen = self._books.newest()

    @property
    def busy(self) -> int:
        """How many notices are on their way or due within a second. Those that wait for their hour don't count."""
        self._collect()
        soon_ms = self._clock.now_ms + SECOND_MS
        return len(self._under_way) + sum(1 for due_ms, what, _ in self._due if what == "notice" and due_ms <= soon_ms)

    def look(self) -> None:
        """Something has changed."""
        self._wake.set()

    def send(self, notice_id: int) -> bool:
        """Have it sent now, also if it was dropped, held or taken before. False when there is none."""
        if self._books.notice(notice_id) is None:
            return False
        self._collect()
        self._held.discard(notice_id)
        self._due = [one for one in self._due if one[1:] != ("notice", notice_id)]
        heapq.heapify(self._due)
        self._push(0, "notice", notice_id)
        self.look()
        return True

    async def begin_anew(self) -> None:
        """Forget everything, and burn the books."""
        await self._stop()
        self._books.begin_anew()
        self._remember()

    async def run(self) -> None:
        """Deliver for ever."""
        connector = aiohttp.TCPConnector(limit=_CONNECTIONS_MAX)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
            try:
                while True:
                    self._wake.clear()
                    self._collect()
                    self._do_what_is_due(session)
                    wait = max(0, self._due[0][0] - self._clock.now_ms) / 1000 if self._due else None
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), wait)
            finally:
                await self._stop()

    async def _stop(self) -> None:
        for task in list(self._under_way):
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _push(self, due_ms: int, what: str, number: int) -> None:
        heapq.heappush(self._due, (due_ms, what, number))

    def _collect(self) -> None:
        """Take up what is new in the books."""
        newest = self._books.newest()
        if newest == self._seen:
            return
        for notice in self._books.notices(after=self._seen["notices"]):
            self._plan(notice)
        for expires_ms, trade_id in self._books.expiring(after=self._seen["trades"]):
            self._push(expires_ms, "trade", trade_id)
        self._seen = newest

    def _plan(self, notice: Notice) -> None:
        due_ms: int | None = notice.at_ms
        if notice.attempts:
            done, last_ms = len(notice.attempts), notice.attempts[-1]["at_ms"]
            due_ms = next_due(notice.provider, attempts=done, last_ms=last_ms, speed=self.speed)
        if due_ms is not None:
            self._push(due_ms, "notice", notice.id)

    def _do_what_is_due(self, session: aiohttp.ClientSession) -> None:
        while self._due and self._due[0][0] <= self._clock.now_ms:
            _, what, number = heapq.heappop(self._due)
            if what == "trade":
                self._till.expire(self._books.by_id(number))
                continue
            task = asyncio.create_task(self._attempt(session, number))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _attempt(self, session: aiohttp.ClientSession, notice_id: int) -> None:
        notice = self._books.notice(notice_id)
        assert notice is not None
        faults = self._faults.take("notice", provider=notice.provider, name=notice.kind, order_no=notice.order_no)
        if self._put_off(notice, faults):
            return
        outcome, status, answer = await self._delivered(session, notice, faults)
        done, now_ms = len(notice.attempts) + 1, self._clock.now_ms
        due_ms = next_due(notice.provider, attempts=done, last_ms=now_ms, speed=self.speed)
        last = outcome in {"taken", "dropped"} or due_ms is None
        said: dict[str, Any] = {"outcome": outcome, "status": status, "answer": answer, "last": int(last)}
        self._books.add_attempt(notice, {**said, "faults": ",".join(faults.kinds), "at_ms": now_ms})
        if due_ms is not None and not last:
            self._push(due_ms, "notice", notice.id)
        if notice.kind == "refund":
            self._release(notice.trade_id)
        self.look()

    def _put_off(self, notice: Notice, faults: Taken) -> bool:
        """Whether it is not sent now."""
        if "delay" in faults:
            wait = float(faults.option("delay", "seconds", 1.0))
            self._push(self._clock.now_ms + int(wait * 1000), "notice", notice.id)
            self.look()
        elif "hold" in faults or "after_refund" in faults:
            self._held.update({notice.id} if "after_refund" in faults else ())
        else:
            return False
        return True

    def _release(self, trade_id: int) -> None:
        """A refund of the trade was told: the notices that waited for that may follow."""
        for notice_id in list(self._held):
            held = self._books.notice(notice_id)
            if held is not None and held.trade_id == trade_id:
                self.send(notice_id)

    async def _delivered(
        self, session: aiohttp.ClientSession, notice: Notice, faults: Taken
    ) -> tuple[str, int | None, str]:
        if "drop" in faults or "lose" in faults:
            return ("dropped" if "drop" in faults else "lost"), None, ""
        if "closed_first" in faults and notice.provider == "alipay":
            trade = self._books.by_id(notice.trade_id)
            closed = alipay_messages.closed_notice(trade, identity=self._writer.keys.identity, at_ms=self._clock.now_ms)
            await self._post(session, notice, self._writer.write("alipay", closed, faults=Taken([])))
        copies = int(faults.option("duplicate", "copies", 1))
        letters = [self._writer.write(notice.provider, notice, faults=faults) for _ in range(copies)]
        answers = await asyncio.gather(*(self._post(session, notice, letter) for letter in letters))
        taken = [one for one in answers if one[0] == "taken"]
        return (taken or answers)[0]

    async def _post(
        self, session: aiohttp.ClientSession, notice: Notice, letter: Letter
    ) -> tuple[str, int | None, str]:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS[notice.provider])
        try:
            async with session.post(
                notice.url, data=letter.body, headers=letter.headers, allow_redirects=False, timeout=timeout
            ) as answer:
                said = await answer.content.read(_ANSWER_KEPT)
                outcome = "taken" if is_taken(notice.provider, answer.status, said) else "refused"
                return outcome, answer.status, said.decode("utf-8", "replace")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return "unreachable", None, type(error).__name__
