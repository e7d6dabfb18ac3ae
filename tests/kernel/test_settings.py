"""Settings: where they come from, who wins, and what is refused."""

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from atelier.kernel import settings
from atelier.kernel.engines import UnsupportedDatabase
from atelier.kernel.keyring import SECRET_BYTES_MIN, Keyring
from atelier.kernel.settings import BadSettings

SECRET = "J4v9-kQ2x_8wZr7LmN1pTb6cYd3fHs5g"
SOUND = {
    "NODE_ENV": "production",
    "DATABASE_URL": "mysql://atelier:p%40ss@db/atelier",
    "JWT_SECRET": SECRET,
    "ATELIER_FLOWER_AUTH": "ops:Vq8-ring",
    "FRONTEND_URL": "https://atelier.example",
}


@pytest.fixture(autouse=True)
def environment(tmp_path: Path) -> Iterator[Path]:
    """Variables that a test sets end with it; files go to a folder of its own."""
    before = dict(os.environ)
    os.environ["ATELIER_DATA_DIR"] = str(tmp_path / "data")
    yield tmp_path
    os.environ.clear()
    os.environ.update(before)


class TestSources:
    def test_nothing_set_is_a_working_development(self, environment: Path) -> None:
        found = settings.load()
        assert (found.environment, found.port, found.host) == ("development", 8000, "127.0.0.1")
        assert found.database_url == f"sqlite:///{environment / 'data' / 'atelier.db'}"
        assert found.broker_url == found.redis_url == "redis://127.0.0.1:6379/0"

    def test_a_sender_that_is_set_to_nothing_is_not_set(self) -> None:
        os.environ["ATELIER_MAIL_FROM"] = ""
        assert settings.load().mail_from == "Atelier <no-reply@atelier.invalid>"

    def test_names_of_existing_deployments_and_our_own_are_read(self) -> None:
        os.environ |= {
            "PORT": " 8123 ",
            "FRONTEND_URL": "https://a.example, https://b.example,",
            "REDIS_URL": "redis://r/1",
            "BROKER_URL": "amqp://q",
            "ATELIER_LEASE_SECONDS": "7",
            "USER_WHITELIST": "a@b.cn:pw,c@d.cn:x:y",
        }
        found = settings.load()
        assert (found.port, found.redis_url, found.broker_url, found.lease_seconds) == (
            8123,
            "redis://r/1",
            "amqp://q",
            7,
        )
        assert found.frontend_urls == ["https://a.example", "https://b.example"]
        assert found.user_whitelist == ["a@b.cn:pw", "c@d.cn:x:y"]

    def test_our_name_beats_the_other_one_and_an_option_beats_both(self) -> None:
        os.environ |= {"PORT": "1", "ATELIER_PORT": "2"}
        assert settings.load().port == 2
        assert settings.load(port=3).port == 3
        del os.environ["ATELIER_PORT"]
        assert settings.load(port=3).port == 3

    def test_a_file_holds_a_secret(self, environment: Path) -> None:
        (environment / "jwt").write_text(f"{SECRET}\n")
        os.environ["JWT_SECRET_FILE"] = str(environment / "jwt")
        assert settings.load().jwt_secret.get_secret_value() == SECRET
        os.environ["JWT_SECRET"] = "the variable itself"
        assert settings.load().jwt_secret.get_secret_value() == "the variable itself"

    def test_a_development_has_a_secret_of_its_own_that_stays(self, environment: Path) -> None:
        first = settings.load().jwt_secret.get_secret_value()
        assert settings.load().jwt_secret.get_secret_value() == first
        assert len(first) >= SECRET_BYTES_MIN
        kept = environment / "data" / "secret"
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert settings.load(data_dir=environment / "other").jwt_secret.get_secret_value() != first

    def test_an_empty_secret_is_never_used(self, environment: Path) -> None:
        """A disk that was full when it was made would have left one that everybody knows."""
        (environment / "data").mkdir()
        (environment / "data" / "secret").touch()
        with pytest.raises(BadSettings, match="secret is empty: remove it"):
            settings.load()
        assert settings.load(jwt_secret=SECRET).jwt_secret.get_secret_value() == SECRET

    def test_roles_that_start_together_have_one_secret(self, environment: Path) -> None:
        with ThreadPoolExecutor(8) as roles:
            starts = [roles.submit(settings.load) for _ in range(16)]
        assert len({start.result().jwt_secret.get_secret_value() for start in starts}) == 1
        assert [path.name for path in (environment / "data").iterdir()] == ["secret"]

    def test_there_are_two_keys_while_one_follows_the_other(self) -> None:
        os.environ |= {"JWT_SECRET": SECRET, "JWT_SECRET_PREVIOUS": SECRET[::-1]}
        assert settings.load().keyring == Keyring.of(SECRET, SECRET[::-1])
        os.environ["JWT_SECRET_PREVIOUS"] = ""
        assert settings.load().keyring == Keyring.of(SECRET)
        assert settings.load().model_copy(update={"jwt_secret": SecretStr("x" * 32)}).keyring == Keyring.of("x" * 32)

    def test_a_development_may_have_a_short_secret(self) -> None:
        os.environ |= {"JWT_SECRET": "your-jwt-secret-key", "JWT_SECRET_PREVIOUS": "before"}
        found = settings.load().keyring
        assert [len(key.secret) for key in found.active] == [64, 64]
        assert found.current != found.previous

    def test_nobody_changes_them_afterwards_and_a_secret_does_not_show(self) -> None:
        found = settings.load(jwt_secret=SECRET)
        with pytest.raises(ValidationError):
            found.port = 1
        assert SECRET not in repr(found)


class TestProduction:
    @pytest.mark.parametrize("previous", ["", SECRET[::-1]])
    def test_sound_settings_are_taken(self, previous: str) -> None:
        os.environ |= SOUND | {"JWT_SECRET_PREVIOUS": previous}
        found = settings.load()
        assert len(found.keyring.active) == (2 if previous else 1)
        assert (found.environment, found.frontend_urls) == ("production", ["https://atelier.example"])

    @pytest.mark.parametrize(
        ("variable", "value", "reason"),
        [
            ("JWT_SECRET", "", "JWT_SECRET must have at least 32 bytes"),
            ("JWT_SECRET", SECRET[:31], "JWT_SECRET must have at least 32 bytes"),
            ("JWT_SECRET", "your-jwt-secret-key-change-in-production", "not be a placeholder"),
            ("JWT_SECRET", "ab" * 32, "JWT_SECRET"),
            ("JWT_SECRET_PREVIOUS", SECRET[:31], "JWT_SECRET_PREVIOUS must have at least 32 bytes"),
            ("JWT_SECRET_PREVIOUS", "your-jwt-secret-key-change-in-production", "not be a placeholder"),
            ("JWT_SECRET_PREVIOUS", "ab" * 32, "JWT_SECRET_PREVIOUS"),
            ("JWT_SECRET_PREVIOUS", SECRET, "JWT_SECRET_PREVIOUS must .* nor the secret that follows it"),
            ("DATABASE_URL", "", "SQLite is for development"),
            ("DATABASE_URL", "sqlite:///x.db", "SQLite is for development"),
            ("USER_WHITELIST", "a@b.cn:pw", "USER_WHITELIST is for development"),
            ("ATELIER_FLOWER_AUTH", "", "ATELIER_FLOWER_AUTH must be user:password"),
            ("ATELIER_FLOWER_AUTH", "ops", "ATELIER_FLOWER_AUTH must be user:password"),
            ("FRONTEND_URL", "*", "FRONTEND_URL must name exact origins"),
        ],
    )
    def test_each_weak_setting_is_refused_by_its_name(self, variable: str, value: str, reason: str) -> None:
        os.environ |= SOUND | {variable: value}
        with pytest.raises(BadSettings, match=reason):
            settings.load()

    @pytest.mark.parametrize("address", ["", "http://api.example", "https://127.0.0.1:8000"])
    def test_e_mails_of_production_can_be_ended_by_who_gets_them(self, address: str) -> None:
        os.environ |= {**SOUND, "ATELIER_MAIL_URL": "smtp://mail.example", "ATELIER_PUBLIC_URL": address}
        with pytest.raises(BadSettings, match="ATELIER_PUBLIC_URL must be https://…: e-mails"):
            settings.load()
        os.environ["ATELIER_PUBLIC_URL"] = "https://api.example"
        assert settings.load().mail_url == "smtp://mail.example"

    def test_all_reasons_are_told_at_once_and_no_value(self) -> None:
        os.environ |= {"ATELIER_ENV": "production", "JWT_SECRET": "hunter2", "USER_WHITELIST": "a@b.cn:pw"}
        with pytest.raises(BadSettings) as caught:
            settings.load()
        assert all(name in str(caught.value) for name in ("JWT_SECRET", "SQLite", "USER_WHITELIST", "FLOWER_AUTH"))
        assert "hunter2" not in str(caught.value)


class TestRefusals:
    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("PORT", "http"),
            ("PORT", "70000"),
            ("ATELIER_LEASE_SECONDS", "0"),
            ("NODE_ENV", "staging"),
            ("ATELIER_LOG_LEVEL", "loud"),
        ],
    )
    def test_a_wrong_value_is_refused_without_being_repeated(self, variable: str, value: str) -> None:
        os.environ[variable] = value
        with pytest.raises(BadSettings) as caught:
            settings.load()
        assert f"'{value}'" not in str(caught.value)

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            *(
                ("REDIS_URL", "nonsense"),
                ("REDIS_URL", "redis://"),
                ("REDIS_URL", "http://hunter2"),
                ("REDIS_URL", "host:6379"),
            ),
            *(("REDIS_URL", "redis://hunter2:x/0"), ("BROKER_URL", "nonsense"), ("BROKER_URL", "host:6379")),
            *(
                ("ATELIER_MAIL_URL", "imap://hunter2"),
                ("ATELIER_MAIL_URL", "host:25"),
                ("ATELIER_MAIL_URL", "smtp://h:x"),
            ),
            *(
                ("ATELIER_MAIL_FROM", "hunter2"),
                ("ATELIER_MAIL_FROM", "Hunter2, Inc. <hunter2@a.example>"),
                ("ATELIER_MAIL_FROM", "hunter2 <no-reply@创意.cn>"),
                ("ATELIER_MAIL_FROM", "hunter2 <创意@a.example>"),
                ("ATELIER_MAIL_FROM", f"hunter2@{'a' * 63}.{'b' * 10}.example"),
            ),
            *(
                ("ATELIER_PUBLIC_URL", "hunter2"),
                ("ATELIER_OPENAI_URL", "hunter2/v1"),
                ("ATELIER_LLM_URL", "ftp://hunter2"),
            ),
            *(("ATELIER_OPENAI_KEY", "hunter2 é"), ("ATELIER_LLM_KEY", "hunter2\n2")),
            *(("FRONTEND_URL", "hunter2.example"), ("ATELIER_TRUSTED_PROXIES", "10.0.0.0/8,hunter2")),
        ],
    )
    def test_an_address_that_no_role_could_use_is_named_at_once(self, variable: str, value: str) -> None:
        os.environ[variable] = value
        with pytest.raises(BadSettings, match=f"^{variable} must") as caught:
            settings.load()
        assert "hunter2" not in str(caught.value)

    def test_addresses_of_every_kind_are_taken(self) -> None:
        os.environ |= {
            "REDIS_URL": "unix:///run/valkey.sock?db=1",
            "BROKER_URL": "sentinel://a:26379;sentinel://b:26379",
            "FRONTEND_URL": "https://a.example,capacitor://localhost",
            "ATELIER_TRUSTED_PROXIES": "10.1.2.3,fd00::/8,10.0.0.1/8",
            "ATELIER_MAIL_URL": "smtps://me:p%40ss@mail.example:465",
            "ATELIER_MAIL_FROM": "创意工作坊 <no-reply@xn--h6qx71k.cn>",
        }
        assert settings.load().broker_url.startswith("sentinel")

    @pytest.mark.parametrize(
        "address",
        [
            *("mongodb://localhost/a", "postgresql://u:hunter2@h/d", "nonsense", "://", "mysql://u:hunter2@h:port/d"),
            *("sqlite://", "sqlite:///:memory:"),
        ],
    )
    def test_another_database_is_refused_with_what_is_supported(self, address: str) -> None:
        os.environ["DATABASE_URL"] = address
        with pytest.raises(UnsupportedDatabase, match=r"mysql://.*sqlite:///") as caught:
            settings.load()
        assert "hunter2" not in str(caught.value)


class TestNames:
    """An error names the variable that the operator set, whichever of its names that is."""

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            *(("PORT", "http"), ("ATELIER_PORT", "http"), ("port", "70000")),
            *(("NODE_ENV", "staging"), ("ATELIER_ENV", "staging"), ("ATELIER_ENVIRONMENT", "staging")),
            *(("ATELIER_LEASE_SECONDS", "0"), ("ATELIER_LOG_LEVEL", "loud"), ("ATELIER_WEB_RELAY", "perhaps")),
        ],
    )
    def test_of_a_wrong_value(self, variable: str, value: str) -> None:
        os.environ[variable] = value
        with pytest.raises(BadSettings) as caught:
            settings.load()
        assert str(caught.value).startswith(f"{variable}: ")

    @pytest.mark.parametrize("variable", ["DATABASE_URL", "ATELIER_DATABASE_URL"])
    def test_of_another_database(self, variable: str) -> None:
        os.environ[variable] = "mongodb://localhost/a"
        with pytest.raises(UnsupportedDatabase, match=f"^{variable}: mongodb://"):
            settings.load()

    @pytest.mark.parametrize(
        ("usual", "other", "value", "reason"),
        [
            ("JWT_SECRET", "ATELIER_JWT_SECRET", "short", "{} must have at least 32 bytes"),
            ("JWT_SECRET_PREVIOUS", "ATELIER_JWT_SECRET_PREVIOUS", "short", "{} must have at least 32 bytes"),
            ("DATABASE_URL", "ATELIER_DATABASE_URL", "sqlite:///x.db", "SQLite is for development: set {} to MySQL"),
            ("USER_WHITELIST", "ATELIER_USER_WHITELIST", "a@b.cn:pw", "{} is for development"),
            ("FRONTEND_URL", "ATELIER_FRONTEND_URL", "*", "{} must name exact origins"),
            ("ATELIER_FLOWER_AUTH", "atelier_flower_auth", "ops", "{} must be user:password"),
        ],
    )
    def test_of_a_weak_value(self, usual: str, other: str, value: str, reason: str) -> None:
        os.environ |= {name: sound for name, sound in SOUND.items() if name != usual}
        for variable in (usual, other):
            os.environ[variable] = value
            with pytest.raises(BadSettings) as caught:
                settings.load()
            assert reason.format(variable) in str(caught.value).split("; ")[0]
            del os.environ[variable]

    def test_of_what_is_not_set_at_all_is_the_usual_one(self) -> None:
        os.environ["NODE_ENV"] = "production"
        with pytest.raises(BadSettings) as caught:
            settings.load()
        for reason in ("JWT_SECRET must", "set DATABASE_URL to", "ATELIER_FLOWER_AUTH must"):
            assert reason in str(caught.value)
        assert "ATELIER_JWT_SECRET" not in str(caught.value)

    def test_is_the_one_that_wins_when_several_are_set(self) -> None:
        os.environ |= {"PORT": "8000", "ATELIER_PORT": "http"}
        with pytest.raises(BadSettings, match=r"^ATELIER_PORT: "):
            settings.load()

    def test_is_that_of_the_file_when_a_file_holds_the_value(self, environment: Path) -> None:
        (environment / "value").write_text("http\n")
        os.environ["PORT_FILE"] = str(environment / "value")
        with pytest.raises(BadSettings, match=r"^PORT_FILE: "):
            settings.load()
        os.environ |= SOUND | {"PORT": "1", "JWT_SECRET_FILE": str(environment / "value")}
        del os.environ["JWT_SECRET"]
        with pytest.raises(BadSettings, match=r"^JWT_SECRET_FILE must have at least"):
            settings.load()

    def test_of_an_option_is_its_own(self) -> None:
        os.environ["PORT"] = "8000"
        with pytest.raises(BadSettings, match=r"^port: "):
            settings.load(port="http")
