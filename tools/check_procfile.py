"""Check the Procfile against its schema and against docker-compose.yml: `python -m tools.check_procfile`.

Both files name the same roles with the same commands, so that a role can't be added to one of them only.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = ROOT / "deploy" / "procfile.schema.json"
# A one-off release command is a service that others wait for.
SERVICE_OF = {"release": "migrate"}


def parse(text: str) -> dict[str, str]:
    """Role → command. Raises ValueError naming a line that is not `name: command`."""
    roles: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, command = line.partition(": ")
        if not colon or not command.strip():
            message = f"line {number} is not `name: command`: {line!r}"
            raise ValueError(message)
        if name in roles:
            message = f"line {number} names {name} again"
            raise ValueError(message)
        roles[name] = command.strip()
    return roles


def faults(procfile: str, compose: Mapping[str, Any]) -> Iterator[str]:
    """Everything that is wrong, one sentence each."""
    try:
        roles = parse(procfile)
    except ValueError as error:
        yield str(error)
        return
    validator = jsonschema_rs.validator_for(json.loads(SCHEMA.read_text("utf-8")))
    yield from (invalid.message for invalid in validator.iter_errors(roles))
    services = {name: service for name, service in compose["services"].items() if "build" in service}
    expected = {SERVICE_OF.get(name, name): command for name, command in roles.items()}
    for name in sorted(expected.keys() - services.keys()):
        yield f"docker-compose.yml has no service for the role {name}"
    for name in sorted(services.keys() - expected.keys()):
        yield f"the Procfile has no role for the service {name}"
    for name in sorted(services.keys() & expected.keys()):
        command = " ".join(services[name].get("command", []))
        if command != expected[name]:
            yield f"{name} runs `{expected[name]}` in the Procfile, but `{command}` in docker-compose.yml"


def main() -> int:
    """Print each fault; exit status 1 if there is one."""
    compose = YAML(typ="safe").load(ROOT / "docker-compose.yml")
    found = list(faults((ROOT / "Procfile").read_text("utf-8"), compose))
    for fault in found:
        print(f"Procfile: {fault}")
    print(f"Procfile: {len(found)} faults")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
