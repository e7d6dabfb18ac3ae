"""What every row is given, and the floors that several rows stand on."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import load, work
from benchmarks.load import Load, Request
from benchmarks.stand import FloorServer, Servers
from tests.servers import Process

FLOOR_BODY = '{"agentId":"00000000-0000-0000-0000-000000000000","inputData":{"prompt":"a cat"}}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured. `say` tells whoever waits what is being done."""

    servers: Servers
    pairs: int
    seconds: int
    million: int
    agents: int
    say: Callable[[str], None]

    def beside(self, **processes: Process) -> dict[str, int]:
        """The process ids to watch during a load: these, the database's and the broker's."""
        everyone = {**processes, "mariadb": self.servers.maria, "valkey": self.servers.valkey}
        return {name: process.pid for name, process in everyone.items()}

    def floor_http(self) -> Load:
        """One run against the floor of any request."""
        with FloorServer(self.servers, "http") as floor:
            return self._floor(floor)

    def floor_accept(self) -> Load:
        """One run against the floor of accepting."""
        address = self.servers.database("floor")
        try:
            driven = address.replace("mysql://", "mysql+pymysql://")
            with FloorServer(self.servers, "accept", driven, self.servers.valkey.url) as floor:
                return self._floor(floor)
        finally:
            self.servers.drop(address)

    def _floor(self, floor: FloorServer) -> Load:
        self.servers.valkey.wipe()
        request = Request(method="POST", path="/generate", body=FLOOR_BODY)
        requests = load.prepared([request], folder=self.servers.folder, name="floor")
        return load.run(floor.port, requests, seconds=self.seconds, watched=self.beside(web=floor))


def submissions(tokens: list[str]) -> list[Request]:
    """One request to generate for each token."""
    return [Request(method="POST", path="/api/workshop/generate", token=token, body=work.BODY) for token in tokens]
