"""Links in an answer are fetched by us, so they must not reach what only we can reach."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from atelier.kernel.internet import is_public
from atelier.providers.errors import BadAnswer, Interrupted
from atelier.providers.fake_openai import FakeOpenAI
from atelier.providers.openai import links
from tests.providers.elsewhere import LARGE, NAME, PICTURE, Elsewhere, Resolver, Route, elsewhere
from tests.servers import NO_AUTHORITIES

PUBLIC = "93.184.215.14"
PUBLIC_TOO = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
HOME = "https://api.example/v1"


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as running:
        yield running


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[Elsewhere]:
    async with elsewhere(tmp_path) as running:
        yield running


async def fetch(
    link: str,
    *,
    route: Route | None = None,
    home: str = HOME,
    find: links.LookUp = links.look_up,
    longest: int = 1000,
    seconds: float = 20,
) -> bytes:
    """As the provider for images does it, with the way to the public internet as the test wants it."""
    asks_home = httpx.AsyncClient(trust_env=False, verify=NO_AUTHORITIES)
    async with asks_home as http, httpx.AsyncClient(transport=route) as direct:
        return await links.fetch(link, home=home, http=http, direct=direct, find=find, longest=longest, seconds=seconds)


class TestToThePublicInternet:
    async def test_go_to_the_address_that_was_checked_under_the_name_of_the_link(self, outside: Elsewhere) -> None:
        find, route = Resolver([[PUBLIC]]), outside.route()
        assert await fetch(f"https://{NAME}/picture", route=route, find=find) == PICTURE
        assert (find.asked, route.addresses) == ([NAME], [PUBLIC])
        assert f"\r\nHost: {NAME}\r\n" in outside.heads[0]
        assert "authorization" not in outside.heads[0].lower()

    async def test_a_name_that_changes_its_address_after_the_check_gains_nothing(self, outside: Elsewhere) -> None:
        find, route = Resolver([[PUBLIC], ["127.0.0.1"]]), outside.route()
        assert await fetch(f"https://{NAME}/picture", route=route, find=find) == PICTURE
        assert (find.asked, route.addresses) == ([NAME], [PUBLIC])
        with pytest.raises(BadAnswer, match="not allowed"):
            await fetch(f"https://{NAME}/picture", route=route, find=find)
        assert route.addresses == [PUBLIC]

    @pytest.mark.parametrize("private", ["127.0.0.1", "10.0.0.1", "::1", "64:ff9b::a00:1"])
    async def test_one_private_address_among_public_ones_is_enough_to_refuse(
        self, outside: Elsewhere, private: str
    ) -> None:
        route = outside.route()
        with pytest.raises(BadAnswer, match="not allowed"):
            await fetch(f"https://{NAME}/picture", route=route, find=Resolver([[PUBLIC, private]]))
        with pytest.raises(BadAnswer, match="not allowed"):
            await fetch(f"https://{NAME}/picture", route=route, find=Resolver([[]]))
        assert route.addresses == []

    async def test_a_certificate_for_another_name_is_not_believed(self, tmp_path: Path) -> None:
        async with elsewhere(tmp_path, name="someone-else.example") as other:
            with pytest.raises(Interrupted):
                await fetch(f"https://{NAME}/picture", route=other.route(), find=Resolver([[PUBLIC]]))
            assert other.heads == []

    async def test_the_next_address_is_tried_when_there_is_no_way_to_the_first(self, outside: Elsewhere) -> None:
        route = outside.route(broken=[PUBLIC_TOO])
        found = await fetch(f"https://{NAME}/picture", route=route, find=Resolver([[PUBLIC_TOO, PUBLIC_TOO, PUBLIC]]))
        assert found == PICTURE
        assert route.addresses == [PUBLIC_TOO, PUBLIC]
        route = outside.route(broken=[PUBLIC])
        with pytest.raises(Interrupted):
            await fetch(f"https://{NAME}/picture", route=route, find=Resolver([[PUBLIC]]))

    async def test_are_not_followed_to_another_place(self, outside: Elsewhere) -> None:
        find, route = Resolver([[PUBLIC]]), outside.route()
        with pytest.raises(BadAnswer, match="redirected"):
            await fetch(f"https://{NAME}/moved", route=route, find=find)
        assert (find.asked, route.addresses) == ([NAME], [PUBLIC])

    async def test_more_than_we_take_is_cut_off(self, outside: Elsewhere) -> None:
        find = Resolver([[PUBLIC]])
        with pytest.raises(BadAnswer, match="too large"):
            await fetch(f"https://{NAME}/endless", route=outside.route(), find=find, longest=LARGE - 1)
        assert len(await fetch(f"https://{NAME}/endless", route=outside.route(), find=find, longest=LARGE)) == LARGE

    async def test_a_silent_host_is_left_in_time(self, outside: Elsewhere) -> None:
        with pytest.raises(Interrupted):
            await fetch(f"https://{NAME}/silence", route=outside.route(), find=Resolver([[PUBLIC]]), seconds=0.2)
        assert len(outside.heads) == 1

    async def test_that_lead_nowhere(self, outside: Elsewhere) -> None:
        with pytest.raises(BadAnswer, match="not there"):
            await fetch(f"https://{NAME}/nothing", route=outside.route(), find=Resolver([[PUBLIC]]))

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            *((status, Interrupted) for status in (408, 425, 429, 500, 502, 503, 504, 529)),
            *((status, BadAnswer) for status in (400, 401, 403, 404, 410, 416, 451)),
        ],
    )
    async def test_a_host_that_is_away_is_told_from_a_file_that_is_gone(
        self, outside: Elsewhere, status: int, error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            await fetch(f"https://{NAME}/status/{status}", route=outside.route(), find=Resolver([[PUBLIC]]))

    @pytest.mark.parametrize(
        "link",
        [
            "https://127.0.0.1/loopback",
            "https://10.1.2.3/private",
            "https://169.254.169.254/metadata",
            "https://100.100.100.200/metadata",
            "https://0.0.0.0/this-machine",
            "https://[::1]/loopback",
            "https://[::ffff:127.0.0.1]/mapped",
            "https://[2002:7f00:1::]/6to4",
            "https://[64:ff9b::7f00:1]/nat64",
            "https://0x7f000001/hexadecimal",
            "https://2130706433/decimal",
            "https://017700000001/octal",
            "https://127.1/short",
            "https://localhost/name",
            f"http://{PUBLIC}/plain-http",
            f"https://{PUBLIC}:8443/other-port",
            f"https://me:secret@{PUBLIC}/credentials",
            "https:///no-host",
            "file:///etc/passwd",
            "//no-scheme/at-all",
            "not a link",
        ],
    )
    async def test_forms_of_private_places_are_refused_without_a_connection(
        self, outside: Elsewhere, link: str
    ) -> None:
        route = outside.route()
        with pytest.raises(BadAnswer, match="not allowed"):
            await fetch(link, route=route)
        assert route.addresses == []

    @pytest.mark.parametrize("link", ["https://\x00/", "https://x:y/", f"https://{'a' * 70}.example/", "https://a..b/"])
    async def test_what_is_no_link_at_all(self, link: str) -> None:
        with pytest.raises(BadAnswer):
            await fetch(link)


class TestToTheEndpointItself:
    async def test_are_fetched_wherever_it_stands_and_without_the_key(self, server: FakeOpenAI) -> None:
        data = await fetch(f"{server.base_url}/files/image-7", home=server.base_url)
        assert data.startswith(b"\x89PNG")

    async def test_another_port_of_its_host_is_another_place(self, server: FakeOpenAI) -> None:
        with pytest.raises(BadAnswer, match="not allowed"):
            await fetch("http://127.0.0.1:1/v1/files/image-7", home=server.base_url)

    async def test_that_lead_nowhere_or_to_too_much(self, server: FakeOpenAI) -> None:
        with pytest.raises(BadAnswer, match="not there"):
            await fetch(f"{server.base_url}/files/nothing", home=server.base_url)
        with pytest.raises(BadAnswer, match="too large"):
            await fetch(f"{server.base_url}/files/image-7", home=server.base_url, longest=50)

    async def test_are_not_followed_to_another_place(self, outside: Elsewhere) -> None:
        async with httpx.AsyncClient(transport=outside.route()) as http:
            with pytest.raises(BadAnswer, match="redirected"):
                await links.fetch(
                    "https://images.example/moved", home=f"https://{NAME}", http=http, direct=http, longest=9
                )
        assert len(outside.heads) == 1


class TestAddresses:
    @pytest.mark.parametrize(
        "address", [PUBLIC, PUBLIC_TOO, "8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
    )
    def test_that_are_public(self, address: str) -> None:
        assert is_public(address)

    @pytest.mark.parametrize(
        "address",
        [
            *("", "localhost", "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
            *("0.1.2.3", "255.255.255.255", "224.0.0.1", "240.0.0.1", "192.0.0.192", "168.63.129.16", "203.0.113.1"),
            *("::", "::1", "::127.0.0.1", "fe80::1", "fe80::1%eth0", "fec0::1", "fd00:ec2::254", "ff0e::1"),
            *("::ffff:10.0.0.1", "::ffff:0:10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::10.0.0.1", "2002:a00:1::"),
            *("2001:db8::1", "2001:0:1::1", "64:ff9b::a9fe:a9fe"),
        ],
    )
    def test_that_are_not(self, address: str) -> None:
        assert not is_public(address)
