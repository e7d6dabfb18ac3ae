"""Every setting of every role: one frozen class, read once per process.

Environment variables are `ATELIER_<NAME>`; the names that existing deployments use (`PORT`, `FRONTEND_URL`, …) are
aliases. `<NAME>_FILE` names a file that holds the value, for secrets.
"""

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from atelier.kernel import addresses, completeness, engines, variables
from atelier.kernel.engines import UnsupportedDatabase
from atelier.kernel.errors import Refusal
from atelier.kernel.keyring import SECRET_BYTES_MIN, Keyring, stretched
from atelier.kernel.provider_settings import Listed, ProviderSettings

PLACEHOLDERS = ("your-jwt-secret", "changeme", "change-me", "secret", "password", "development")


class BadSettings(Refusal):
    """The environment doesn't make a working configuration; the message lists every reason."""

    code = "BAD_SETTINGS"


class Weaknesses(ValueError):
    """What production refuses: for each field why, with {name} in place of the variable that sets it."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__("; ".join(reason.format(name=field) for field, reason in reasons.items()))
        self.reasons = reasons


def _named(*names: str) -> AliasChoices:
    return AliasChoices(*names)


class Settings(ProviderSettings):
    """See `docs/settings.md` for the list with explanations, which is generated from here."""

    model_config = SettingsConfigDict(env_prefix="ATELIER_", frozen=True, extra="ignore", populate_by_name=True)

    environment: Literal["development", "production"] = Field(
        "development",
        validation_alias=_named("ATELIER_ENV", "NODE_ENV"),
        description="production refuses weak settings",
    )
    data_dir: Path = Field(Path(".atelier"), description="everything that the embedded default keeps on disk")
    host: str = Field("127.0.0.1", description="address that the web role listens on")
    port: int = Field(
        8000, validation_alias=_named("ATELIER_PORT", "PORT"), ge=0, le=65535, description="port of the web role"
    )
    metrics_port: int = Field(
        9100, ge=0, le=65535, description="port of /metrics, on loopback unless metrics_host says else"
    )
    metrics_host: str = Field("127.0.0.1", description="address of /metrics")
    frontend_urls: Listed = Field(
        default_factory=list,
        validation_alias=_named("ATELIER_FRONTEND_URL", "FRONTEND_URL"),
        description="origins of the front ends, comma-separated: CORS, WebSocket origins, links in e-mails",
    )
    public_url: str = Field(
        "",
        description="address under which users reach this API, for links; empty: relative links; production needs it "
        "for e-mails and payments",
    )
    trusted_proxies: Listed = Field(
        default_factory=list, description="addresses or networks whose X-Forwarded-For is believed"
    )

    database_url: str = Field(
        "",
        validation_alias=_named("ATELIER_DATABASE_URL", "DATABASE_URL"),
        description="mysql://… or sqlite:///…; empty: SQLite in data_dir",
    )
    database_pool: int = Field(8, ge=1, le=64, description="connections and threads per process and engine")
    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        validation_alias=_named("ATELIER_REDIS_URL", "REDIS_URL"),
        description="live events and rate limits",
    )
    broker_url: str = Field(
        "", validation_alias=_named("ATELIER_BROKER_URL", "BROKER_URL"), description="Celery's broker; empty: redis_url"
    )

    jwt_secret: SecretStr = Field(
        SecretStr(""),
        validation_alias=_named("ATELIER_JWT_SECRET", "JWT_SECRET"),
        description="signs access tokens and links; ≥ 32 bytes",
    )
    jwt_secret_previous: SecretStr = Field(
        SecretStr(""),
        validation_alias=_named("ATELIER_JWT_SECRET_PREVIOUS", "JWT_SECRET_PREVIOUS"),
        description="the secret before it: what it signed stays good while it stands here; ≥ 32 bytes; empty: none",
    )
    access_hours: int = Field(12, ge=1, le=48, description="life of an access token")
    remember_days: int = Field(30, ge=1, le=90, description="life of an access token with rememberMe")
    user_whitelist: Listed = Field(
        default_factory=list,
        validation_alias=_named("ATELIER_USER_WHITELIST", "USER_WHITELIST"),
        description="email:password,… created at start; development only",
    )
    welcome_bonus: int = Field(100, ge=0, le=100_000, description="credits a new user is given, once")
    welcome_bonus_on: Literal["verification", "registration"] = Field(
        "verification", description="when the bonus is given"
    )
    spending_needs_verification: bool = Field(False, description="only users with a verified address may spend")

    mail_url: str = Field(
        "", description="smtp://user:password@host:587, smtps://…:465; empty: a mailbox folder in data_dir"
    )
    mail_from: str = Field("Atelier <no-reply@atelier.invalid>", description="sender of every e-mail")

    submissions_per_minute: int = Field(
        600, ge=1, description="jobs submitted per user, each item of a batch for itself"
    )
    unpublished_agents_max: int = Field(20, ge=1, description="drafts and agents in review per user")
    agent_changes_per_minute: int = Field(60, ge=1, description="agents created, changed or uploaded per user")
    user_window: int = Field(16, ge=1, le=10_000, description="jobs of one user that may run at once, in each queue")
    quote_seconds: int = Field(600, ge=1, le=86_400, description="how long a quoted price is promised")
    waiting_jobs_max: int = Field(1_000, ge=1, description="pending jobs per user; more are refused with 429")
    projects_max: int = Field(100, ge=1, le=1_000, description="projects per user; five times as many with the bin")
    project_versions_max: int = Field(200, ge=1, le=10_000, description="versions per project")
    project_members_max: int = Field(
        50, ge=1, le=500, description="people who work on a project or were invited to it in a week"
    )
    result_days: int = Field(
        30, ge=1, le=3_650, description="how long results are kept whose agent says nothing of it, in days"
    )
    utc_offset_hours: int = Field(
        8, ge=-12, le=14, description="the operator's time zone, in which the days of analytics begin"
    )
    platform_share_percent: int = Field(
        30,
        ge=0,
        le=100,
        description="the platform's part of what is paid for a creator's agent, rounded up to a credit",
    )
    operations_kept_days: int = Field(400, ge=1, description="how long the operation log is kept")
    registrations_per_minute: int = Field(30, ge=1, description="registrations per address")
    requests_per_minute: int = Field(
        3_000, ge=1, description="any other request per user, or per address when anonymous"
    )
    api_keys_max: int = Field(
        20, ge=1, le=1_000, description="active API keys per user; ten times as many with ended ones"
    )
    key_changes_per_minute: int = Field(30, ge=1, description="API keys made, changed or revoked per user")
    login_failures_max: int = Field(10, ge=1, description="failed logins per address and account in 15 minutes")

    webhooks_max: int = Field(10, ge=1, le=100, description="endpoints of outgoing webhooks per user")
    webhook_loopback: bool = Field(
        False,
        description="outgoing webhooks may also go to this machine, by http and on any port; development only",
    )

    web_relay: bool = Field(True, description="the web role also relays its own outbox rows, for latency")
    lease_seconds: int = Field(30, ge=3, le=600, description="how long a claimed job stays claimed without a heartbeat")
    sweep_seconds: int = Field(5, ge=1, le=60, description="period of the sweeper")
    attempts_max: int = Field(4, ge=1, le=20, description="attempts per job")
    backoff_ms: int = Field(1_000, ge=1, le=60_000, description="wait before the second attempt; doubles, with jitter")
    republish_seconds: int = Field(
        30, ge=1, le=600, description="an unclaimed job is published again after this; doubles, up to 10 min"
    )
    deadline_seconds: int = Field(3_600, ge=1, le=86_400, description="deadline of a job that names none")
    slots_text: int = Field(32, ge=1, le=512, description="threads of worker-generation")
    slots_media: int = Field(2, ge=1, le=64, description="processes of worker-media")
    slots_money: int = Field(2, ge=1, le=64, description="processes of worker-money")

    storage: Literal["local", "oss"] = Field(
        "local", description="where files are: a folder in data_dir that all roles share, or a bucket of Aliyun OSS"
    )
    oss_endpoint: str = Field(
        "", description="how the roles reach OSS, e.g. https://oss-cn-hangzhou-internal.aliyuncs.com"
    )
    oss_public_endpoint: str = Field("", description="how browsers reach it, for signed links; empty: as oss_endpoint")
    oss_region: str = Field(
        "", description="the bucket's region, e.g. cn-hangzhou: signatures of version 4; empty: of version 1"
    )
    oss_bucket: str = Field("", description="a private bucket")
    oss_key_id: str = Field("", description="AccessKey ID of a RAM user who may use this bucket and nothing else")
    oss_key_secret: SecretStr = Field(SecretStr(""), description="its AccessKey secret")
    oss_prefix: str = Field(
        "", pattern=r"^([a-z0-9-]+/)*$", description="what every object's name begins with, e.g. atelier/"
    )
    oss_connect_seconds: float = Field(2.0, gt=0, le=30, description="how long a connection to OSS may take")
    oss_read_seconds: float = Field(10.0, gt=0, le=120, description="how long OSS may be silent")
    oss_tries: int = Field(3, ge=1, le=10, description="attempts per call of OSS")
    upload_bytes_max: int = Field(
        50 * 1024 * 1024, ge=1, le=2**30, description="size of a file that is sent through the web role"
    )
    direct_upload_bytes_max: int = Field(
        500 * 1024 * 1024, ge=1, le=2**30, description="size of a file that a browser sends to the storage itself"
    )
    avatar_bytes_max: int = Field(5 * 1024 * 1024, ge=1, le=2**26, description="size of a picture sent as avatar")
    image_pixels_max: int = Field(
        40_000_000, ge=1, le=80_000_000, description="pixels of an uploaded picture, of all its frames together"
    )
    image_frames_max: int = Field(300, ge=1, le=5_000, description="frames of an uploaded animation")
    user_files_max: int = Field(2_000, ge=1, description="files a user may keep")
    user_bytes_max: int = Field(2 * 2**30, ge=1, le=2**50, description="bytes of all files a user may keep")
    uploads_per_minute: int = Field(60, ge=1, description="uploads per user")
    upload_form_seconds: int = Field(900, ge=60, le=3_600, description="how long a direct upload may take to begin")
    file_link_seconds: int = Field(600, ge=60, le=3_600, description="life of a signed link to the storage")

    alipay_app_id: str = Field("", description="the application's id at Alipay; empty: no Alipay")
    alipay_seller_id: str = Field("", description="the merchant's own id (2088…), which notices must name")
    alipay_private_key: SecretStr = Field(
        SecretStr(""), description="the application's private key: PEM or bare Base64; better ALIPAY_PRIVATE_KEY_FILE"
    )
    alipay_public_key: SecretStr = Field(SecretStr(""), description="Alipay's public key, not the application's")
    alipay_url: str = Field("https://openapi.alipay.com/gateway.do", description="address of Alipay's gateway")
    wechat_mchid: str = Field("", description="the merchant's number at WeChat Pay; empty: no WeChat Pay")
    wechat_appid: str = Field("", description="the application that payments belong to")
    wechat_serial: str = Field("", description="serial number of the merchant's certificate")
    wechat_private_key: SecretStr = Field(SecretStr(""), description="private key of the merchant's certificate, PEM")
    wechat_api_key: SecretStr = Field(SecretStr(""), description="the API v3 key: 32 characters")
    wechat_public_key_id: str = Field("", description="PUB_KEY_ID_… of WeChat Pay's public key")
    wechat_public_key: SecretStr = Field(SecretStr(""), description="WeChat Pay's public key, PEM")
    wechat_certificates: SecretStr = Field(
        SecretStr(""), description="platform certificates that are good beside the public key, PEM, one after the other"
    )
    wechat_url: str = Field("https://api.mch.weixin.qq.com", description="address of WeChat Pay")
    payment_answer_seconds: float = Field(10.0, gt=0, le=60, description="how long a payment gateway may take")
    order_minutes: int = Field(30, ge=5, le=120, description="how long an order can be paid")
    pending_orders_max: int = Field(10, ge=1, description="orders that wait for their payment, per user")
    orders_per_minute: int = Field(30, ge=1, description="orders made or payment links asked for, per user")
    return_urls: Listed = Field(
        default_factory=list,
        description="where a payer may be sent after paying: origins or beginnings of addresses, comma-separated; "
        "empty: the origins of the front ends",
    )

    flower_port: int = Field(5555, ge=0, le=65535, description="port of Flower, loopback unless flower_host says else")
    flower_host: str = Field("127.0.0.1", description="address of Flower")
    flower_auth: SecretStr = Field(
        SecretStr(""), description="user:password of Flower; production refuses an empty one"
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"

    @field_validator("port", "metrics_port", "flower_port", mode="before")
    @classmethod
    def _stripped(cls, value: Any) -> Any:
        return value.strip() if isinstance(value, str) else value

    @field_validator("data_dir", "mail_from", mode="before")
    @classmethod
    def _said(cls, value: Any, info: ValidationInfo) -> Any:
        # Variables that are set to nothing are meant to be unset: no path is the current folder, no sender is nobody.
        return value if value != "" else cls.model_fields[str(info.field_name)].default

    @model_validator(mode="after")
    def _filled(self) -> Self:
        fill = object.__setattr__
        if not self.database_url:
            fill(self, "database_url", engines.sqlite_in(self.data_dir))
        engines.parse(self.database_url)
        if not self.broker_url:
            fill(self, "broker_url", self.redis_url)
        if self.environment == "development" and not self.jwt_secret.get_secret_value():
            fill(self, "jwt_secret", SecretStr(_kept_secret(self.data_dir / "secret")))
        texts, origins = self._texts(), self.frontend_urls
        wrong = addresses.unusable(texts, frontend_urls=origins, trusted_proxies=self.trusted_proxies)
        if wrong := wrong | completeness.missing(texts):
            raise Weaknesses(wrong)
        if self.environment == "production" and (weak := self._weaknesses()):
            raise Weaknesses(weak)
        return self

    @property
    def keyring(self) -> Keyring:
        """What signs access tokens and links, and what is still believed. Costs no more than looking it up."""
        current, previous = self.jwt_secret.get_secret_value(), self.jwt_secret_previous.get_secret_value()
        return Keyring.of(stretched(current), stretched(previous) if previous else "")

    def _texts(self) -> dict[str, str]:
        secret = {name: value.get_secret_value() for name, value in self if isinstance(value, SecretStr)}
        return {name: value for name, value in self if isinstance(value, str)} | secret

    def _weaknesses(self) -> dict[str, str]:
        secret, previous = self.jwt_secret.get_secret_value(), self.jwt_secret_previous.get_secret_value()
        strong = f"{{name}} must have at least {SECRET_BYTES_MIN} bytes and not be a placeholder"
        found = {
            "jwt_secret": (strong, _is_weak(secret)),
            "jwt_secret_previous": (
                f"{strong}, nor the secret that follows it",
                previous != "" and (_is_weak(previous) or previous == secret),
            ),
            "database_url": (
                "SQLite is for development: set {name} to MySQL or MariaDB",
                self.database_url.startswith("sqlite"),
            ),
            "user_whitelist": ("{name} is for development", bool(self.user_whitelist)),
            "webhook_loopback": ("{name} is for development", self.webhook_loopback),
            "flower_auth": (
                "{name} must be user:password",
                not all(self.flower_auth.get_secret_value().partition(":")),
            ),
            "frontend_urls": ("{name} must name exact origins", "*" in self.frontend_urls),
            "oss_public_endpoint": (
                "{name} must be https://…, as browsers use it",
                self.storage == "oss" and not (self.oss_public_endpoint or self.oss_endpoint).startswith("https://"),
            ),
        }
        weak = {field: reason for field, (reason, is_weak) in found.items() if is_weak}
        texts = self._texts()
        return weak | completeness.unsafe_mail(texts) | completeness.unsafe_payments(texts)


def _is_weak(secret: str) -> bool:
    too_short = len(secret.encode()) < SECRET_BYTES_MIN or len(set(secret)) < SECRET_BYTES_MIN // 4
    return too_short or any(word in secret.lower() for word in PLACEHOLDERS)


def load(**overrides: Any) -> Settings:
    """Settings from the environment, `*_FILE` variables and overrides (which win).

    Raises BadSettings or UnsupportedDatabase, which name the variables as they were set, and no value.
    """
    files = _read_files()

    def named(field: str) -> str:
        return field if field in overrides else variables.set_by(field, Settings.model_fields[field], files=files)

    try:
        return Settings(**overrides)
    except UnsupportedDatabase as error:
        message = f"{named('database_url')}: {error}"
        raise UnsupportedDatabase(message) from None
    except ValidationError as error:
        raise BadSettings("; ".join(_reasons(error, named))) from None


def _reasons(error: ValidationError, named: Callable[[str], str]) -> Iterator[str]:
    for item in error.errors(include_input=False):
        weak: object = item.get("ctx", {}).get("error")
        if isinstance(weak, Weaknesses):
            yield from (reason.format(name=named(field)) for field, reason in weak.reasons.items())
        else:
            field, *within = map(str, item["loc"])
            yield f"{'.'.join([named(_field(field)), *within])}: {item['msg']}"


def _field(name: str) -> str:
    """The field that an error speaks of: by its own name, or by the first of its variables."""
    fields = Settings.model_fields
    return next(field for field in fields if name == field or name in variables.names(field, fields[field]))


def _read_files() -> dict[str, str]:
    """Fill variables from the files that `<NAME>_FILE` name. Returns each with the variable that named its file."""
    read: dict[str, str] = {}
    known = variables.known(Settings.model_fields)
    for name, path in list(os.environ.items()):
        target = name.removesuffix("_FILE")
        if name.endswith("_FILE") and target in known and target not in os.environ:
            os.environ[target] = _secret_file(name, path)
            read[target] = name
    return read


def _secret_file(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        message = f"{name}: {path} can't be read ({type(error).__name__})"
        raise BadSettings(message) from None


def _kept_secret(path: Path) -> str:
    """The development secret: made once per data directory, readable by its owner only.

    It is written whole before it has its name, so nobody reads half of one, and of several roles that start together
    one is first. Raises Weaknesses for an empty file: everybody could sign what an empty secret signs.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(secrets.token_urlsafe(48))
            with suppress(FileExistsError):
                path.hardlink_to(unfinished)
        finally:
            unfinished.unlink()
    if kept := path.read_text(encoding="utf-8").strip():
        return kept
    raise Weaknesses({"jwt_secret": f"{path} is empty: remove it, and the next start makes another, or set {{name}}"})
