"""What `atelier up` runs, and with which settings: the servers that are named, embedded ones where none is."""

import secrets
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, Final

from pydantic import AliasChoices, SecretStr

from atelier.cli import models, ports, valkey
from atelier.cli.keys import Login, kept_login
from atelier.gateways import sandbox_identity
from atelier.kernel import engines
from atelier.kernel.settings import Settings
from atelier.supervisor.keeper import Role

# The roles that need a migrated database, the first ones first: a machine with two processors feels the order.
_ROLES: Final = {
    "web": ("web",),
    "worker-generation": ("tasks", "worker", "generation"),
    "worker-media": ("tasks", "worker", "media"),
    "worker-money": ("tasks", "worker", "money"),
    "relay": ("tasks", "relay"),
    "beat": ("schedules",),
    "flower": ("tasks", "flower"),
}
_DECIDED: Final = (
    *("environment", "data_dir", "host", "port", "public_url", "database_url", "redis_url", "broker_url"),
    *("metrics_host", "metrics_port", "flower_host", "flower_port", "flower_auth", "llm_url", "llm_key"),
    *("welcome_bonus_on", "log_format"),
)
# Who names one of these has gateways of their own.
_GATEWAYS: Final = (
    *("alipay_app_id", "alipay_seller_id", "alipay_private_key", "alipay_public_key", "alipay_url"),
    *("wechat_mchid", "wechat_appid", "wechat_serial", "wechat_private_key", "wechat_api_key", "wechat_public_key_id"),
    *("wechat_public_key", "wechat_certificates", "wechat_url"),
)
_MODEL_FAILURES_MAX: Final = 3
_API: Final = "/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that is decided before the first process starts.

    settings       those of every role
    flower_login   the one that was made here; None when the settings name one
    model_health   where the embedded language model says that it is loaded; empty when there is none
    sandbox        where the sandbox of the payment gateways is; empty when there is none
    """

    settings: Settings
    foundations: tuple[Role, ...]
    roles: tuple[Role, ...]
    address: str
    metrics: str
    flower: str
    flower_login: Login | None
    embedded_database: bool
    model_health: str
    sandbox: str


def make(settings: Settings, *, wants_model: bool = True) -> Plan:
    """Choose ports and servers. Raises Unusable when a port that was asked for can't be had."""
    chosen: dict[str, Any] = dict(_ports(settings))
    login = None
    if not settings.flower_auth.get_secret_value():
        login = kept_login(settings.data_dir / "flower-login", name="atelier")
        chosen["flower_auth"] = SecretStr(f"{login.name}:{login.password}")
    address = ports.address(settings.host, chosen["port"])
    chosen["public_url"] = settings.public_url or address
    foundations = _broker(settings, chosen) + (_model(settings, chosen) if wants_model else [])
    sandboxes = _sandbox(settings, chosen)
    is_embedded = settings.database_url == engines.sqlite_in(settings.data_dir)
    if is_embedded and not _names(settings, "welcome_bonus_on"):
        chosen["welcome_bonus_on"] = "registration"
    final = settings.model_copy(update=chosen)
    environment = _environment(final, decided=(*_DECIDED, *(_GATEWAYS if sandboxes else ())))
    roles = [*(_python_role(name, *module) for name, module in _ROLES.items()), *sandboxes]
    return Plan(
        settings=final,
        foundations=tuple(replace(role, environment=environment) for role in foundations),
        roles=tuple(replace(role, environment=environment) for role in roles),
        address=address,
        metrics=f"{ports.address(final.metrics_host, final.metrics_port)}/metrics",
        flower=ports.address(final.flower_host, final.flower_port),
        flower_login=login,
        embedded_database=is_embedded,
        model_health=f"{final.llm_url.removesuffix(_API)}/health" if "llm_url" in chosen else "",
        sandbox=final.wechat_url if sandboxes else "",
    )


def _broker(settings: Settings, chosen: dict[str, Any]) -> list[Role]:
    """The embedded Valkey, where no Redis is named; a broker may be named alone."""
    if _names(settings, "redis_url"):
        return []
    embedded = valkey.embedded(settings.data_dir)
    chosen["redis_url"] = embedded.redis_url
    chosen["broker_url"] = settings.broker_url if _names(settings, "broker_url") else embedded.broker_url
    return [embedded.role]


def _model(settings: Settings, chosen: dict[str, Any]) -> list[Role]:
    """The embedded language model, where it can run and no other one is named."""
    if settings.llm_url or not models.usable(settings):
        return []
    port = ports.free()
    chosen["llm_url"] = f"{ports.address(ports.LOOPBACK, port)}{_API}"
    chosen["llm_key"] = SecretStr(secrets.token_urlsafe(24))
    # It is a welcome extra: where it can't run, the text provider does without, so it is not tried for ever.
    role = _python_role("llm", "atelier.cli", "llm", "--port", str(port))
    return [replace(role, foundation=True, failures_max=_MODEL_FAILURES_MAX)]


def _sandbox(settings: Settings, chosen: dict[str, Any]) -> list[Role]:
    """Payment gateways to try things out, where none are named; never in production, whose image goes without it."""
    named = any(_names(settings, field) for field in _GATEWAYS)
    if settings.environment != "development" or named or find_spec("sandbox") is None:
        return []
    folder, port = settings.data_dir / "sandbox", ports.free()
    address = ports.address(ports.LOOPBACK, port)
    for name, value in sandbox_identity.settings(sandbox_identity.kept(folder), url=address).items():
        chosen[name] = SecretStr(value) if isinstance(getattr(settings, name), SecretStr) else value
    return [_python_role("sandbox", "sandbox", "--data-dir", str(folder), "--port", str(port))]


def _ports(settings: Settings) -> dict[str, int]:
    """The API's port as asked for; any free one for inner servers, unless one was asked for."""
    metrics = settings.metrics_port if _names(settings, "metrics_port") else 0
    flower = settings.flower_port if _names(settings, "flower_port") else 0
    return {
        "port": ports.check(settings.host, settings.port),
        "metrics_port": ports.check(settings.metrics_host, metrics),
        "flower_port": ports.check(settings.flower_host, flower),
    }


def _names(settings: Settings, field: str) -> bool:
    """Whether the environment or an option names a value; an empty variable names none."""
    return field in settings.model_fields_set and _text(getattr(settings, field)) != ""


def _python_role(name: str, *module: str) -> Role:
    # Flower has nothing to finish, and may wait for workers that have gone already.
    patience = 2.0 if name == "flower" else None
    return Role(name=name, command=(sys.executable, "-m", *module), patience=patience)


def _environment(settings: Settings, *, decided: Iterable[str]) -> dict[str, str]:
    """The variables that give a role these settings; they win over every alias that the user may have set."""
    # A worker that is asked to end finishes what it does and goes; the supervisor's grace is its limit.
    found = {"PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1", "REMAP_SIGTERM": "SIGTERM"}
    for name in decided:
        alias = Settings.model_fields[name].validation_alias
        variable = alias.choices[0] if isinstance(alias, AliasChoices) else f"ATELIER_{name.upper()}"
        found[str(variable)] = _text(getattr(settings, name))
    return found


def _text(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
