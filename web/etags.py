"""Versions of documents in headers: what is unchanged is not sent again, what has changed is not overwritten."""

from collections.abc import Mapping

from pydantic_core import to_json

from atelier.kernel import tokens
from web.routing import Call, Reply
from web.schemas.model import Answer


def quoted(tag: str) -> str:
    """The tag as a header says it."""
    return f'"{tag}"'


def tagged(call: Call, answer: Answer, *, more: Mapping[str, str] | None = None) -> Reply:
    """The answer with a tag that stands for all of it, or 304 for who has it; with `more` headers."""
    raw = to_json(answer)
    headers = {"ETag": quoted(tokens.digest(raw.decode())[:32]), **(more or {})}
    if call.unchanged(headers["ETag"]):
        return Reply(status=304, headers=headers)
    return Reply(raw=raw, headers=headers)


def expected(call: Call) -> frozenset[str] | None:
    """The tags that `If-Match` names, without quotes; None where the caller takes any version."""
    header = call.request.headers.get("If-Match")
    if header is None or header.strip() == "*":
        return None
    tags = [one.strip() for one in header.split(",")]
    # A weak tag promises too little to overwrite something for it (RFC 9110, 13.1.1).
    return frozenset(tag[1:-1] for tag in tags if len(tag) > 1 and tag[0] == tag[-1] == '"')
