"""A wire between a client and its MariaDB that can break at the worst moment: after a commit, before its answer."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Self

from sqlalchemy.engine import make_url

QUERY = 3
HEADER = 4


class LostAnswers:
    """Passes everything on; after `lose_next_commit` the next COMMIT reaches the server and its answer nobody."""

    def __init__(self, address: str) -> None:
        self._server = make_url(address)
        self._listening = socket.create_server(("127.0.0.1", 0))
        port: int = self._listening.getsockname()[1]
        self.url = self._server.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
        self.lost = 0
        self._armed = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def lose_next_commit(self) -> None:
        """Break the connection that commits next, once the server has committed."""
        self._armed.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection((self._server.host, self._server.port))
        doomed = threading.Event()
        with client, server:
            answering = threading.Thread(target=self._answer, args=(server, client, doomed), daemon=True)
            answering.start()
            for packet in _received(client):
                if self._armed.is_set() and packet[HEADER : HEADER + 7].upper() == bytes([QUERY]) + b"COMMIT":
                    self._armed.clear()
                    doomed.set()
                server.sendall(packet)
            server.shutdown(socket.SHUT_RDWR)
            answering.join()

    def _answer(self, server: socket.socket, client: socket.socket, doomed: threading.Event) -> None:
        for packet in _received(server):
            if doomed.is_set():
                self.lost += 1
                break
            client.sendall(packet)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


def _received(connection: socket.socket) -> Iterator[bytes]:
    with contextlib.suppress(OSError):
        while packet := connection.recv(65_536):
            yield packet
