"""The gateway's side of WeChat Pay at a counter: it verifies every request and signs every answer."""

import json
from collections.abc import Callable
from typing import Any

from atelier.gateways import wechat_wire
from tests.gateways.counter import Asked, Counter, Reply
from tests.gateways.merchants import MCHID, NOW_MS, OURS, PUBLIC_KEY_ID, SERIAL, wechat_headers


def signed(content: object, status: int = 200, **how: Any) -> Reply:
    body = b"" if content is None else json.dumps(content, ensure_ascii=False).encode()
    return Reply(status=status, headers=wechat_headers(body, **how), body=body)


def refusal(status: int, code: str, **how: Any) -> Reply:
    return signed({"code": code, "message": "不"}, status, **how)


class Desk:
    """The gateway's side: `answers` by the first words of method and path; every request is verified."""

    def __init__(self, at: Counter) -> None:
        self.at = at
        self.answers: dict[str, Reply | Callable[[Any], Reply]] = {}
        self.asked: list[tuple[str, Any]] = []
        at.reply = self.reply

    def reply(self, asked: Asked) -> Reply:
        parts = wechat_wire.verify_request(
            asked.headers["Authorization"],
            method=asked.method,
            path=asked.path,
            body=asked.body,
            key=OURS.public_key(),
            now=NOW_MS // 1000,
        )
        assert (parts["mchid"], parts["serial_no"]) == (MCHID, SERIAL)
        assert (asked.headers["Accept"], asked.headers["Wechatpay-Serial"]) == ("application/json", PUBLIC_KEY_ID)
        content = json.loads(asked.body) if asked.body else None
        line = f"{asked.method} {asked.path}"
        self.asked.append((line, content))
        answer = next(one for start, one in self.answers.items() if line.startswith(start))
        return answer(content) if callable(answer) else answer
