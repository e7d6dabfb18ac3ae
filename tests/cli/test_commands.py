"""The commands, as people call them: what they print, and their exit status."""

import re
import sqlite3
from email.message import EmailMessage
from pathlib import Path

import pytest

from atelier.cli.config import shown
from atelier.mail.mailers import MailboxMailer
from tests.cli.conftest import Run

CREATE = ("users", "create", "mei@example.com", "--username", "mei", "--password", "correct horse battery")
STRONG = {
    "ATELIER_ENV": "production",
    "DATABASE_URL": "mysql://atelier:secret-word@db.example/atelier",
    "JWT_SECRET": "8d0f3c6a2b7e4915c0d8f6a1e3b5927c",
    "ATELIER_FLOWER_AUTH": "ops:another-word",
}


def test_an_operator_prepares_a_database_and_looks_after_it(run: Run, tmp_path: Path) -> None:
    assert run("migrate", "--data-dir", "one").returncode == 0
    created = run("--data-dir", "one", *CREATE, "--role", "admin", "--credits", "50")
    assert (created.returncode, "50 credits" in created.stdout) == (0, True), created.stderr
    again = run(*CREATE, ATELIER_DATA_DIR="one")
    assert (again.returncode, again.stderr.strip()) == (1, "atelier: There is a user with this address or name")
    rich = run(*CREATE, "--credits", "9" * 19, "--data-dir", "one")
    assert (rich.returncode, "'--credits'" in rich.stderr) == (2, True), rich.stderr
    for wrong in (("nobody", "--username", "abc"), ("a@example.com", "--username", "a b")):
        refused = run("users", "create", *wrong, "--password", "long enough words", "--data-dir", "one")
        assert (refused.returncode, refused.stderr.startswith("atelier: Not valid: ")) == (1, True), refused.stderr
    clean = run("doctor", "--data-dir", "one")
    assert (clean.returncode, "clean" in clean.stdout) == (0, True)

    with sqlite3.connect(tmp_path / "one" / "atelier.db") as database:
        database.execute("UPDATE accounts SET credits_posted = credits_posted + 7 WHERE kind = 'user'")
    database.close()
    ill = run("doctor", "--data-dir", "one")
    assert (ill.returncode, "violation" in ill.stdout) == (1, True)


@pytest.mark.parametrize("name", ["a b", "a%20b", "a?b", "a#b", "工作坊"])
def test_a_data_directory_may_have_any_name(run: Run, tmp_path: Path, name: str) -> None:
    said = run("migrate", "--data-dir", name)
    assert said.returncode == 0, said.stderr
    assert {one.relative_to(tmp_path) for one in tmp_path.glob("**/*.db")} == {Path(name, "atelier.db")}
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_a_data_directory_that_is_set_to_nothing_is_not_set(run: Run, tmp_path: Path) -> None:
    assert run("migrate", ATELIER_DATA_DIR="").returncode == 0
    assert [one.name for one in tmp_path.iterdir()] == [".atelier"]


def test_a_command_says_when_there_is_nothing_to_work_with(run: Run) -> None:
    said = run("doctor", "--data-dir", "nothing")
    assert (said.returncode, said.stderr.count("\n")) == (1, 1)
    assert "atelier up" in said.stderr


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("mongodb://localhost/atelier", "mongodb:// is not supported"),
        ("mysql://root@127.0.0.1:1/atelier", "Can't connect"),
        ("nonsense", "unsupported database"),
    ],
)
def test_a_bad_database_address_is_one_sentence(run: Run, address: str, words: str) -> None:
    said = run("migrate", DATABASE_URL=address)
    assert said.returncode == 1
    assert words.lower() in said.stderr.lower()
    assert said.stderr.count("\n") == 1


def test_settings_are_shown_without_their_secrets(run: Run) -> None:
    said = run("config", "check", PORT="8123", **STRONG)
    assert said.returncode == 0, said.stderr
    assert "8123" in said.stdout
    assert not any(secret in said.stdout for secret in ("secret-word", "another-word", STRONG["JWT_SECRET"]))


@pytest.mark.parametrize("password", ["hunter", "hun/hunter", "hun@hunter", "hunter@", "hun:hunt/hun@hunter"])
def test_no_part_of_a_password_is_shown_whatever_is_in_it(password: str) -> None:
    for address in (f"mysql://atelier:{password}@db.example/atelier", f"redis://:{password}@valkey:6379/1"):
        said = shown("database_url", address)
        assert "hun" not in said
        assert said.endswith(address.rpartition("@")[2])
    assert "hun" not in shown("redis_url", f"redis://valkey:6379/0?db=1&password={password}")


def test_weak_settings_of_a_production_are_all_named(run: Run) -> None:
    said = run("config", "check", ATELIER_ENV="production", JWT_SECRET="your-jwt-secret")
    assert said.returncode == 1
    assert all(name in said.stderr for name in ("JWT_SECRET", "DATABASE_URL", "ATELIER_FLOWER_AUTH"))


def test_the_terminals_language_is_spoken(run: Run) -> None:
    assert "没有邮件" in run("mailbox", LC_ALL="zh_CN.UTF-8").stdout
    helped = run("--help", LC_ALL="zh_CN.UTF-8").stdout
    assert all(words in helped for words in ("创意工作坊", "up", "demo", "doctor", "mailbox"))


def test_the_mailbox_shows_e_mails_and_their_links(run: Run, tmp_path: Path) -> None:
    for number, name in enumerate(("older", "newer")):
        message = EmailMessage()
        message["To"], message["Subject"] = f"{name}@example.com", f"the {name} one"
        message["Message-ID"] = f"<{number}.{name}@atelier>"
        message.set_content("Please open\nhttp://127.0.0.1:8000/verify?token=abc-_1\nsoon.")
        MailboxMailer(tmp_path / ".atelier" / "mailbox").send(message)
    listed = run("mailbox").stdout
    assert listed.index("newer@example.com") < listed.index("older@example.com")
    shown = run("mailbox", "show", "2").stdout
    assert "the older one" in shown
    assert re.search(r"Links:\n\s+http://127\.0\.0\.1:8000/verify\?token=abc-_1\n", shown)
    assert run("mailbox", "--to", "newer@example.com", "show", "2").returncode == 1


def test_a_model_that_is_not_there_is_not_served(run: Run) -> None:
    listed, served = run("models", "list"), run("llm")
    assert "smollm2" in listed.stdout
    assert (served.returncode, served.stderr.count("\n")) == (1, 1)


def test_a_port_that_is_none_is_refused(run: Run) -> None:
    assert run("up", "--port", "70000").returncode == 2
    said = run("up", PORT="80a")
    assert (said.returncode, "PORT" in said.stderr) == (1, True)


def test_a_host_that_is_not_ours_is_refused(run: Run) -> None:
    said = run("up", "--port", "0", "--host", "192.0.2.1")
    assert (said.returncode, said.stderr.count("\n")) == (2, 1)
    assert "192.0.2.1" in said.stderr
