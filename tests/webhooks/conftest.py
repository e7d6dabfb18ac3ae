"""A user with jobs and webhooks on the test's database, and a consumer to send them to."""

import ssl
import subprocess
from collections.abc import Iterator

import pytest

from atelier.kernel.database import Database
from tests.webhooks.desk import Desk
from tests.webhooks.receiver import Receiver

NAME = "hooks.example.test"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A consumer that takes everything."""
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def desk(db: Database, redis_url: str) -> Desk:
    """One user, and a worker that delivers."""
    return Desk(db, redis_url)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's certificate for NAME, and what trusts it."""
    folder = tmp_path_factory.mktemp("hooks")
    key, cert = folder / "key.pem", folder / "cert.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={NAME}"]
    made += ["-addext", f"subjectAltName=DNS:{NAME}", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(made, check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    return server, ssl.create_default_context(cafile=str(cert))


@pytest.fixture
def secure(certificate: tuple[ssl.SSLContext, ssl.SSLContext]) -> Iterator[tuple[Receiver, ssl.SSLContext]]:
    """A consumer under NAME by https, and what trusts it."""
    server, client = certificate
    made = Receiver(certificate=server)
    yield made, client
    made.close()
