"""Names and passwords that are made once per data directory and kept in a file that only its owner reads."""

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A name and its password."""

    name: str
    password: str


def kept_login(path: Path, *, name: str) -> Login:
    """The login that the file keeps; made with a random password when there is none."""
    try:
        kept = json.loads(path.read_text("utf-8"))
        return Login(name=kept["name"], password=kept["password"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        made = Login(name=name, password=secrets.token_urlsafe(12))
        write_private(path, json.dumps({"name": made.name, "password": made.password}) + "\n")
        return made


def write_private(path: Path, text: str) -> None:
    """Write the file whole or not at all, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    unfinished.replace(path)
