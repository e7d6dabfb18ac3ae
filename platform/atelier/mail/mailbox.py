"""Reading the development mailbox."""

from dataclasses import dataclass
from email import policy
from email.parser import BytesParser
from pathlib import Path

from atelier.kernel.errors import NotFound
from atelier.kernel.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One message in the folder. `name` is what `read` takes; `text` is the plain part."""

    name: str
    recipient: str
    subject: str
    date: str
    text: str


def folder(settings: Settings) -> Path:
    """Where the messages are."""
    return settings.data_dir / "mailbox"


def listing(place: Path, *, recipient: str | None = None) -> list[Received]:
    """Every message, newest first; with `recipient`, only theirs."""
    found = [_parse(path) for path in sorted(place.glob("*.eml"), reverse=True)]
    return [one for one in found if recipient is None or one.recipient.casefold() == recipient.casefold()]


def read(place: Path, *, name: str) -> Received:
    """One message by name, or by the beginning of it. Raises NotFound."""
    found = [path for path in sorted(place.glob("*.eml")) if path.stem.startswith(name)] if name else []
    if len(found) != 1:
        raise NotFound(name)
    return _parse(found[0])


def _parse(path: Path) -> Received:
    message = BytesParser(policy=policy.default).parsebytes(path.read_bytes())
    part = message.get_body(("plain",))
    return Received(
        name=path.stem,
        recipient=str(message["To"]),
        subject=str(message["Subject"]),
        date=str(message["Date"]),
        text=part.get_content() if part else "",
    )
