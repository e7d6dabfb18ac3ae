"""How the Kling of our own calls back: once a task is done, signed if there is a secret, and sometimes twice."""

import heapq
import itertools
import json
import threading
from collections.abc import Callable
from typing import Any

import httpx

from atelier.kernel.clock import now_ms
from atelier.providers.kling.callbacks import signature

Document = Callable[[], dict[str, Any]]


class Caller:
    """Sends callbacks from one thread, which starts with the first. `times` is how often each is sent."""

    def __init__(self, secret: str) -> None:
        self.times = 1
        self.statuses: list[int] = []
        self._secret = secret
        self._due: list[tuple[int, int, str, Document]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def call(self, url: str, document: Document, *, at_ms: int) -> None:
        """Call back at this time."""
        with self._changed:
            heapq.heappush(self._due, (at_ms, next(self._numbers), url, document))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="callbacks", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Forget the rest."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        with httpx.Client(trust_env=False, timeout=5.0) as http:
            while (one := self._next()) is not None:
                url, document = one
                for _ in range(self.times):
                    self._send(http, url, json.dumps(document()).encode())

    def _next(self) -> tuple[str, Document] | None:
        with self._changed:
            while not self._closed:
                wait_ms = self._due[0][0] - now_ms() if self._due else 60_000
                if wait_ms <= 0:
                    _, _, url, document = heapq.heappop(self._due)
                    return url, document
                self._changed.wait(wait_ms / 1_000)
        return None

    def _send(self, http: httpx.Client, url: str, body: bytes) -> None:
        message_id, sent_at = f"msg_{next(self._numbers)}", str(now_ms() // 1_000)
        headers = {"Content-Type": "application/json", "webhook-id": message_id, "webhook-timestamp": sent_at}
        if self._secret:
            headers["webhook-signature"] = f"v1,{signature(self._secret, message_id, sent_at, body)}"
        try:
            self.statuses.append(http.post(url, content=body, headers=headers).status_code)
        except httpx.HTTPError:
            self.statuses.append(0)
