"""What `up` decides before it starts anything."""

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from atelier.cli import keys, occupancy, plan, ports
from atelier.cli.config import shown
from atelier.cli.console import Unusable
from atelier.cli.words import speaks_chinese
from atelier.gateways.choose import gateways_of
from atelier.kernel.settings import Settings, load


@pytest.fixture(autouse=True)
def _has_keys(tmp_path: Path, sandbox_keys: Path) -> None:
    """Making the keys of a sandbox takes longer than everything else that is decided."""
    shutil.copytree(sandbox_keys, tmp_path / "sandbox")


def settings(tmp_path: Path, **given: Any) -> Settings:
    return load(**{"data_dir": tmp_path, "port": 0, **given})


def variables(planned: plan.Plan) -> dict[str, str]:
    (same,) = {json.dumps(dict(role.environment), sort_keys=True) for role in (*planned.foundations, *planned.roles)}
    found: dict[str, str] = json.loads(same)
    return found


def test_without_servers_everything_is_embedded(tmp_path: Path) -> None:
    planned = plan.make(settings(tmp_path))
    given = variables(planned)
    assert [role.name for role in planned.foundations] == ["valkey"]
    assert planned.embedded_database
    assert given["ATELIER_DATABASE_URL"] == f"sqlite:///{tmp_path}/atelier.db"
    assert given["ATELIER_WELCOME_BONUS_ON"] == "registration"
    assert given["ATELIER_PUBLIC_URL"] == planned.address
    numbers = [given[name] for name in ("ATELIER_PORT", "ATELIER_METRICS_PORT", "ATELIER_FLOWER_PORT")]
    assert len(set(numbers)) == 3


def test_without_gateways_there_is_a_sandbox(tmp_path: Path) -> None:
    planned = plan.make(settings(tmp_path))
    given = variables(planned)
    (role,) = [role for role in planned.roles if role.name == "sandbox"]
    port = role.command[-1]
    assert planned.sandbox == given["ATELIER_WECHAT_URL"] == f"http://127.0.0.1:{port}"
    assert given["ATELIER_ALIPAY_URL"] == f"http://127.0.0.1:{port}/alipay/gateway.do"
    assert sorted(gateways_of(planned.settings)) == ["alipay", "wechat"]
    again = variables(plan.make(settings(tmp_path)))
    assert again["ATELIER_ALIPAY_PRIVATE_KEY"] == given["ATELIER_ALIPAY_PRIVATE_KEY"]


NAMED_GATEWAY = {
    "alipay_app_id": "2021000000000000",
    "alipay_seller_id": "2088000000000000",
    "alipay_private_key": "theirs",
    "alipay_public_key": "theirs",
}
PRODUCTION = {
    "environment": "production",
    "jwt_secret": "4f1d0a7c9be24d0f8a63b5e7c2d19480f7a6e5d4c3b2a190",
    "database_url": "mysql://a@elsewhere/b",
    "flower_auth": "me:mine",
}


@pytest.mark.parametrize("named", [NAMED_GATEWAY, PRODUCTION], ids=["gateways", "production"])
def test_there_is_no_sandbox_beside_real_gateways_or_in_production(tmp_path: Path, named: dict[str, Any]) -> None:
    planned = plan.make(settings(tmp_path, **named))
    assert "sandbox" not in {role.name for role in planned.roles}
    assert planned.sandbox == ""
    assert "ATELIER_ALIPAY_APP_ID" not in variables(planned)


def test_an_empty_variable_names_no_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_ALIPAY_PRIVATE_KEY", "")
    assert plan.make(settings(tmp_path)).sandbox


def test_the_roles_read_what_was_decided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = plan.make(settings(tmp_path, host="::1"))
    # Names of existing deployments, which the user's environment may hold, lose against what was decided.
    for name, value in {
        **variables(planned),
        "PORT": "1",
        "DATABASE_URL": "mysql://h/d",
        "NODE_ENV": "production",
    }.items():
        monkeypatch.setenv(name, value)
    assert load() == planned.settings.model_copy(update={"jwt_secret": load().jwt_secret})


def test_no_secret_is_on_a_command_line(tmp_path: Path) -> None:
    planned = plan.make(settings(tmp_path))
    password = planned.settings.redis_url.partition(":")[2].rpartition("@")[0].strip("/:")
    assert planned.flower_login
    secrets = [password, planned.flower_login.password, planned.settings.wechat_api_key.get_secret_value()]
    lines = [" ".join(role.command) for role in (*planned.foundations, *planned.roles)]
    assert not [line for line in lines for secret in secrets if secret in line]
    assert (tmp_path / "valkey" / "valkey.conf").stat().st_mode & 0o077 == 0


def test_named_servers_are_used(tmp_path: Path) -> None:
    named = {"redis_url": "redis://elsewhere/1", "database_url": "mysql://a@elsewhere/b"}
    planned = plan.make(settings(tmp_path, **named, flower_auth="me:mine"))
    assert planned.foundations == ()
    assert not planned.embedded_database
    assert planned.flower_login is None
    assert planned.settings.broker_url == "redis://elsewhere/1"
    assert planned.settings.welcome_bonus_on == "verification"


def test_a_named_broker_leaves_the_events_embedded(tmp_path: Path) -> None:
    planned = plan.make(settings(tmp_path, broker_url="redis://elsewhere/0"))
    assert [role.name for role in planned.foundations] == ["valkey"]
    assert planned.settings.broker_url == "redis://elsewhere/0"
    assert planned.settings.redis_url.startswith("redis://:")


def test_a_port_in_use_is_refused_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unusable, match=str(port)) as refused:
            ports.check("127.0.0.1", port)
        assert refused.value.exit_code == 2
        assert not ports.is_free("127.0.0.1", port)


def test_addresses_can_be_opened() -> None:
    assert ports.address("::", 80) == "http://[::1]:80"  # A listener on it takes no IPv4.
    assert ports.address("::1", 80) == "http://[::1]:80"


def test_a_login_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "login"
    made = keys.kept_login(path, name="me")
    assert keys.kept_login(path, name="other") == made
    assert path.stat().st_mode & 0o077 == 0
    path.write_text("broken")
    assert keys.kept_login(path, name="me").password != made.password


def test_a_directory_belongs_to_one_platform(tmp_path: Path) -> None:
    with occupancy.occupied(tmp_path):
        occupancy.leave_note(tmp_path, {"address": "http://here"})
        with pytest.raises(Unusable, match="http://here"), occupancy.occupied(tmp_path):
            pass
    assert occupancy.read_note(tmp_path) == {}
    with occupancy.occupied(tmp_path):
        pass


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("redis_url", "redis://:word@host:1/0", "redis://:••••••@host:1/0"),
        ("database_url", "mysql://me:wo:rd@host/x", "mysql://me:••••••@host/x"),
        ("user_whitelist", ["a@example.com:word"], "a@example.com:••••••"),
        ("frontend_urls", ["https://a", "https://b"], "https://a, https://b"),
        ("port", 8000, "8000"),
    ],
)
def test_a_shown_setting_keeps_its_secret(name: str, value: Any, expected: str) -> None:
    assert shown(name, value) == expected


@pytest.mark.parametrize(
    ("environment", "chinese"),
    [
        ({"LANG": "zh_CN.UTF-8"}, True),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, False),
        ({"LANG": "en_US", "LC_MESSAGES": "zh_TW"}, True),
        ({"LC_ALL": "", "LANG": "de_DE"}, False),
        ({}, False),
    ],
)
def test_the_locale_decides_about_the_language(environment: dict[str, str], chinese: bool) -> None:  # noqa: FBT001
    assert speaks_chinese(environment) is chinese
