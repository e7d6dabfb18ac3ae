"""The internet as these tests see it: a resolver, a route, and one HTTPS server behind every public address."""

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typing_extensions import override

from atelier.providers.fake_openai import make_png
from tests.servers import LOOPBACK

NAME = "images.example"
PICTURE = make_png("elsewhere")
LARGE = 300_000


@dataclass(slots=True)
class Resolver:
    """Gives the next of its answers each time, and the last one for ever: so a name can change under our hands."""

    answers: list[Sequence[str]]
    asked: list[str] = field(default_factory=list[str])

    async def __call__(self, name: str) -> Sequence[str]:
        """The addresses of the name, this time."""
        self.asked.append(name)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Route(httpx.AsyncBaseTransport):
    """Connects to the server instead of to an address, really and with TLS; keeps which address was meant."""

    def __init__(self, *, port: int, certificates: ssl.SSLContext, broken: Sequence[str] = ()) -> None:
        self.addresses: list[str] = []
        self._port = port
        self._broken = broken
        self._inner = httpx.AsyncHTTPTransport(verify=certificates, trust_env=False)

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.addresses.append(request.url.host)
        if request.url.host in self._broken:
            raise httpx.ConnectError("no route", request=request)
        request.url = request.url.copy_with(host=LOOPBACK, port=self._port)
        return await self._inner.handle_async_request(request)

    @override
    async def aclose(self) -> None:
        await self._inner.aclose()


@dataclass(kw_only=True)
class Elsewhere:
    """A running HTTPS server with a certificate for one name. `heads` are the requests as they came."""

    certificate: Path
    heads: list[str] = field(default_factory=list[str])
    port: int = 0

    def route(self, *, broken: Sequence[str] = ()) -> Route:
        """A new route to this server, which trusts its certificate and no other."""
        return Route(port=self.port, certificates=ssl.create_default_context(cafile=self.certificate), broken=broken)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request for each connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        path = head.split(" ")[1]
        if path == "/silence":
            await reader.read()
        elif path.startswith("/status/"):
            writer.write(b"HTTP/1.1 %s No\r\nContent-Length: 0\r\n\r\n" % path.removeprefix("/status/").encode())
        elif path == "/moved":
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: https://localhost/secrets\r\nContent-Length: 0\r\n\r\n")
        elif path == "/picture":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PICTURE) + PICTURE)
        elif path == "/endless":
            # It never says how much will come.
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * LARGE)
        else:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        writer.close()


@asynccontextmanager
async def elsewhere(folder: Path, *, name: str = NAME) -> AsyncGenerator[Elsewhere]:
    """The server, for as long as the block runs."""
    made = Elsewhere(certificate=_certificate(folder, name))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate)
    server = await asyncio.start_server(made.answer, LOOPBACK, 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await server.wait_closed()


def _certificate(folder: Path, name: str) -> Path:
    """A file with a new key and a certificate for this name that it has signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / f"{name}.pem"
    file.write_bytes(encoded + signed.public_bytes(serialization.Encoding.PEM))
    return file
