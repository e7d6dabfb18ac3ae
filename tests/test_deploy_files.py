"""The files that deploy Atelier say what they promise; what a schema can check, `make check` checks."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import AliasChoices
from ruamel.yaml import YAML

from atelier.kernel import settings
from tests.conftest import JWT_SECRET
from tools import check_procfile

ROOT = Path(__file__).parents[1]
PROCFILE = (ROOT / "Procfile").read_text("utf-8")
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")
COMPOSE: dict[str, Any] = YAML(typ="safe").load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
LASTING = {name: service for name, service in SERVICES.items() if name != "migrate"}
OWN = {name: service for name, service in SERVICES.items() if "build" in service}
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def filled(variable: re.Match[str], values: dict[str, str]) -> str:
    """What Compose puts in place of ${NAME:?why} and ${NAME:-default}."""
    name, kind, default = variable.groups()
    return default if kind == "-" else values.get(name, "x" * 32)


def known_variables() -> set[str]:
    """The names under which the settings look for their values."""
    names: set[str] = set()
    for name, field in settings.Settings.model_fields.items():
        aliases = field.validation_alias.choices if isinstance(field.validation_alias, AliasChoices) else []
        names |= {str(alias) for alias in aliases} or {f"ATELIER_{name.upper()}"}
    return names


class TestProcfile:
    def test_it_names_the_roles_of_the_architecture_and_agrees_with_compose(self) -> None:
        roles = ["release", "web", "worker-generation", "worker-media", "worker-money", "relay", "beat", "flower"]
        assert list(check_procfile.parse(PROCFILE)) == roles
        assert list(check_procfile.faults(PROCFILE, COMPOSE)) == []

    def test_honcho_is_told_to_start_every_role_that_lasts_and_none_that_ends(self) -> None:
        """It starts all of a Procfile by itself, and ends them all when one has ended, as `release` does."""
        told = re.search(r"^\$ honcho start -p 8000 (.+)$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
        assert told
        assert told[1].split() == [role for role in check_procfile.parse(PROCFILE) if role != "release"]

    @pytest.mark.parametrize(
        ("change", "fault"),
        [
            (("web: python -m web", "web python -m web"), "is not `name: command`"),
            (("web: python -m web", "web:"), "is not `name: command`"),
            (("web: ", "beat: "), "names beat again"),
            (("web: ", "Web: "), "does not match"),
            (("python -m web", "python -m web && true"), "does not match"),
            (("python -m web", "python -m www"), "but `python -m web` in docker-compose.yml"),
            (("relay: python -m tasks relay\n", ""), "has no role for the service relay"),
            (("release:", "extra: true\nrelease:"), "has no service for the role extra"),
        ],
    )
    def test_each_fault_is_named(self, change: tuple[str, str], fault: str) -> None:
        broken = PROCFILE.replace(*change)
        assert broken != PROCFILE
        assert any(fault in found for found in check_procfile.faults(broken, COMPOSE))


class TestCompose:
    @pytest.mark.parametrize("name", LASTING)
    def test_a_lasting_service_is_watched_restarted_and_given_time_to_end(self, name: str) -> None:
        service = LASTING[name]
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
        assert service["restart"] == "unless-stopped"
        assert service["init"] is True
        assert int(service["stop_grace_period"].removesuffix("s")) >= 10

    @pytest.mark.parametrize("name", [name for name in OWN if name != "migrate"])
    def test_a_role_waits_for_the_schema_and_the_servers(self, name: str) -> None:
        conditions = {other: wait["condition"] for other, wait in OWN[name]["depends_on"].items()}
        assert conditions == {
            "migrate": "service_completed_successfully",
            "mysql": "service_healthy",
            "valkey": "service_healthy",
        }

    @pytest.mark.parametrize("name", OWN)
    def test_a_role_can_not_change_its_image_or_gain_rights(self, name: str) -> None:
        assert OWN[name]["read_only"] is True
        assert OWN[name]["cap_drop"] == ["ALL"]
        assert OWN[name]["environment"]["ATELIER_ENV"] == "production"

    def test_no_secret_has_a_default(self) -> None:
        named = re.findall(r"\$\{((?:\w*(?:PASSWORD|SECRET|AUTH))|FRONTEND_URL)\b([^}]*)\}", COMPOSE_TEXT)
        assert {name for name, _ in named} >= {"JWT_SECRET", "MYSQL_PASSWORD", "VALKEY_PASSWORD", "FLOWER_AUTH"}
        assert [name for name, rest in named if not rest.startswith(":?")] == []

    @pytest.mark.parametrize("name", OWN)
    def test_its_environment_is_known_to_the_settings_and_strong_enough(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        secrets = {"FRONTEND_URL": "https://atelier.example", "FLOWER_AUTH": "admin:Yo7-q", "JWT_SECRET": JWT_SECRET}
        environment = {
            variable: re.sub(r"\$\{(\w+):([-?])([^}]*)\}", lambda found: filled(found, secrets), value)
            for variable, value in OWN[name]["environment"].items()
        }
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        chosen = settings.load()
        assert environment.keys() - known_variables() == set()
        assert chosen.environment == "production"
        assert chosen.broker_url != chosen.redis_url, "the broker's messages have a database of their own"

    @pytest.mark.parametrize("name", OWN)
    def test_only_what_its_head_names_is_set_from_outside_and_the_rest_is_left_to_the_env_file(self, name: str) -> None:
        """Compose lets `environment` win over `env_file`, and an empty default there as well."""
        assert OWN[name]["env_file"] == [{"path": "atelier.env", "required": False}]
        head = re.findall(r"\w+", COMPOSE_TEXT.partition("\nname:")[0])
        asked = re.findall(r"\$\{(\w+)", " ".join(OWN[name]["environment"].values()))
        assert set(asked) - set(head) == set()

    def test_only_web_and_flower_are_published_and_on_loopback_by_default(self) -> None:
        published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
        assert published == {
            "web": ["${WEB_ADDRESS:-127.0.0.1}:${WEB_PORT:-8000}:8000"],
            "flower": ["127.0.0.1:5555:5555"],
        }
        assert COMPOSE["networks"]["inner"] == {"internal": True}
        assert SERVICES["mysql"]["networks"] == SERVICES["valkey"]["networks"] == ["inner"]

    def test_the_servers_are_the_supported_ones(self) -> None:
        assert SERVICES["mysql"]["image"] == "mysql:8.4"
        assert SERVICES["valkey"]["image"] == "valkey/valkey:9"

    def test_every_volume_is_used_and_the_broker_reads_its_file(self) -> None:
        used = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
        assert used == {*COMPOSE["volumes"], "./deploy/valkey.conf"}
        assert "/etc/valkey/valkey.conf" in SERVICES["valkey"]["command"]


def test_the_broker_keeps_its_messages_and_never_evicts_one() -> None:
    lines = (ROOT / "deploy" / "valkey.conf").read_text("utf-8").splitlines()
    settings = dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))
    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "everysec"
    assert settings["maxmemory-policy"] == "noeviction"


class TestDockerfile:
    def test_it_runs_without_root_and_says_when_it_is_well(self) -> None:
        assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)
        assert re.search(r"^HEALTHCHECK .*\\\n  CMD \[", DOCKERFILE, re.MULTILINE)
        assert re.search(r'^CMD \["python", "-m", "web"\]$', DOCKERFILE, re.MULTILINE)

    def test_it_installs_only_what_the_locks_pin(self) -> None:
        installs = re.findall(r"pip install ([^\\\n]*)", DOCKERFILE)
        assert installs
        assert all("--require-hashes" in line or "--no-deps" in line for line in installs)
        assert "--no-install-recommends" in DOCKERFILE

    def test_everything_it_copies_is_let_through_to_the_build(self) -> None:
        ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
        let_through = {line[1:].rstrip("/") for line in ignored if line.startswith("!")}
        copied = {
            name.rstrip("/")
            for names in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
            for name in names.split()
        }
        assert copied == let_through
        assert all((ROOT / name).exists() for name in copied)


class TestLocks:
    @pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
    def test_every_pin_has_hashes_and_no_index_is_named(self, lock: Path) -> None:
        text = lock.read_text("utf-8")
        assert "://" not in text
        assert not re.search(r"^-", text, re.MULTILINE)
        pins = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]
        assert pins
        assert [pin for pin in pins if "==" not in pin or "--hash=sha256:" not in pin] == []

    def test_locks_agree_on_every_version(self) -> None:
        seen: dict[str, set[str]] = {}
        for lock in LOCKS:
            for name, rest in re.findall(r"^([\w.-]+)==([^\\\n]+)", lock.read_text("utf-8"), re.MULTILINE):
                seen.setdefault(name, set()).add(f"{lock.stem}: {rest.strip()}")
        versions = {name: {pin.partition(": ")[2].partition(" ;")[0] for pin in pins} for name, pins in seen.items()}
        marked = {name for name, pins in seen.items() if any(";" in pin for pin in pins)}
        assert {name: seen[name] for name, found in versions.items() if len(found) > 1 and name not in marked} == {}

    def test_the_runtime_lock_holds_every_dependency_and_no_tool(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        pinned = set(
            re.findall(r"^([\w.-]+)==", (ROOT / "requirements" / "runtime.txt").read_text("utf-8"), re.MULTILINE)
        )
        wanted = {re.split(r"[^\w.-]", line)[0].lower() for line in project["dependencies"]}
        tools = {re.split(r"[^\w.-]", line)[0].lower() for line in project["optional-dependencies"]["dev"]}
        assert wanted - pinned == set()
        assert tools & pinned == set()
