"""Named misbehaviour, armed through the control API and used up by notices and calls.

Notices (`on: notice`), each used by one attempt to deliver one:

drop        it is never sent
lose        this attempt is lost on its way; the schedule goes on
delay       it waits `seconds` longer
hold        it waits until somebody has it sent
duplicate   it is sent `copies` times at once, each signed anew
closed_first  a notice that the trade was closed goes before it (Alipay)
after_refund  it waits until a refund of the trade was told
change      `field` has `value` instead, under a good signature: another app_id, seller_id, mchid, amount, currency …
tamper      `field` has `value` instead, changed after it was signed
repeat      `field` is there twice, the second time with `value`, under a good signature
wrong_key   a stranger signed it
stale       it was signed ten minutes ago, or says that it was sent yesterday (Alipay)
probe       a signature that begins as WeChat's tests of merchants do
serial      it names a key that nobody knows (WeChat)
sign_type   it says that it is signed by an older method (Alipay)
unsigned    it has no signature

Calls (`on: call`), by `call`: place, query, close, refund, query_refund, bill, download, certificates:

error       the gateway's own word for "try again later", signed; nothing is done
limit       too many requests, signed; nothing is done
refuse      its refusal `code`, with HTTP `status` (WeChat)
http        HTTP `status` from something in between, not signed; nothing is done
hang        no answer for `seconds`, or as long as the caller waits; nothing is done
lost        it is done, and the connection ends without an answer
late        it is done, and answered `seconds` later
held        the refund is taken, and ends when somebody says how
abnormal    the refund can't be paid out (WeChat)
forged      it is done; a stranger signs the answer
garbled     it is done; the answer is changed after it was signed (for a bill: its bytes)
bare        it is done; the answer has no signature
old         it is done; the answer was signed ten minutes ago (WeChat)
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

On = Literal["notice", "call"]
NOTICE_KINDS: Final = frozenset(
    {
        *("drop", "lose", "delay", "hold", "duplicate", "closed_first", "after_refund", "change", "tamper", "repeat"),
        *("wrong_key", "stale", "probe", "serial", "sign_type", "unsigned"),
    }
)
CALL_KINDS: Final = frozenset(
    {
        *("error", "limit", "refuse", "http", "hang", "lost", "late", "held", "abnormal", "forged", "garbled", "bare"),
        "old",
    }
)
CALLS: Final = frozenset({"place", "query", "close", "refund", "query_refund", "bill", "download", "certificates"})


class BadFault(ValueError):
    """There is no such fault."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """One armed misbehaviour. Empty conditions match everything; `left` is None when `rate` alone decides."""

    kind: str
    on: On
    provider: str = ""
    order_no: str = ""
    name: str = ""
    left: int | None = 1
    rate: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Fault":
        """From what the control API was sent. Raises BadFault."""
        rest = dict(document)
        kind = str(rest.pop("kind", ""))
        on: On = "notice" if kind in NOTICE_KINDS else "call"
        if kind not in NOTICE_KINDS | CALL_KINDS:
            raise BadFault(f"no such fault: {kind}")
        name = str(rest.pop("notice" if on == "notice" else "call", ""))
        if on == "call" and name and name not in CALLS:
            raise BadFault(f"no such call: {name}")
        rate = rest.pop("rate", None)
        count = rest.pop("count", 1 if rate is None else None)
        return cls(
            kind=kind,
            on=on,
            provider=str(rest.pop("provider", "")),
            order_no=str(rest.pop("order_no", "")),
            name=name,
            left=None if count is None else int(count),
            rate=1.0 if rate is None else float(rate),
            options=rest,
        )

    def shown(self) -> dict[str, Any]:
        """For the control API."""
        return {
            "kind": self.kind,
            "on": self.on,
            "provider": self.provider,
            "order_no": self.order_no,
            "name": self.name,
            "left": self.left,
            "rate": self.rate,
            **self.options,
        }


class Taken:
    """The faults that one attempt or call meets, at most one of each kind."""

    def __init__(self, faults: list[Fault]) -> None:
        self._faults = {fault.kind: fault for fault in faults}

    def __contains__(self, kind: str) -> bool:
        return kind in self._faults

    @property
    def kinds(self) -> list[str]:
        """Their names."""
        return list(self._faults)

    def option(self, kind: str, name: str, default: Any) -> Any:
        """What a fault was armed with."""
        return self._faults[kind].options.get(name, default) if kind in self._faults else default


class Faults:
    """What is armed. The dice are seeded, so that a run can be repeated."""

    def __init__(self) -> None:
        self.armed: list[Fault] = []
        self._dice = random.Random(4)  # noqa: S311 - chance, not a secret

    def clear(self) -> None:
        """Behave."""
        self.armed.clear()
        self._dice.seed(4)

    def take(self, on: On, *, provider: str, name: str, order_no: str = "") -> Taken:
        """Use up what matches, first come, first served."""
        taken: dict[str, Fault] = {}
        for fault in self.armed:
            wanted = ((fault.provider, provider), (fault.name, name), (fault.order_no, order_no))
            matches = fault.on == on and all(want in {"", have} for want, have in wanted)
            if not matches or fault.kind in taken or (fault.rate < 1 and self._dice.random() >= fault.rate):
                continue
            taken[fault.kind] = fault
            if fault.left is not None:
                fault.left -= 1
        self.armed = [fault for fault in self.armed if fault.left != 0]
        return Taken(list(taken.values()))
