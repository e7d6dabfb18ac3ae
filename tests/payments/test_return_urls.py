"""Nobody is sent to a place that only looks like ours."""

import pytest

from atelier.orders.errors import ReturnUrlForbidden
from atelier.payments import return_urls

HOUSE = ("https://shop.test", "https://app.example.com:8443/pay/")
ALLOWED = (*HOUSE, "http://localhost:3000", "http://intranet.test", "*")


def is_allowed(url: str, *, development: bool = False) -> bool:
    try:
        assert return_urls.checked(url, allowed=ALLOWED, development=development) == url
    except ReturnUrlForbidden:
        return False
    return True


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.test",
        "https://shop.test/",
        "https://shop.test:443/orders/1?a=b&c=%E5%A5%BD#done",
        "https://SHOP.test/orders",
        "https://shop.test/?next=https://evil.test",
        "https://shop.test?@evil.test",
        "https://shop.test#@evil.test",
        "https://app.example.com:8443/pay",
        "https://app.example.com:8443/pay/done",
    ],
)
def test_an_address_of_the_house_is_allowed(url: str) -> None:
    assert is_allowed(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://",
        "https:///shop.test",
        "https:shop.test",
        "//shop.test/",
        "/orders",
        "shop.test",
        "javascript:alert(1)//https://shop.test",
        "data:text/html,https://shop.test",
        "ftp://shop.test/",
        "http://shop.test/",
        "https://shop.test.evil.test/",
        "https://shop.testevil.test/",
        "https://evilshop.test/",
        "https://shop.test.",
        "https://www.shop.test/",
        "https://shop.test:444/",
        "https://shop.test:99999/",
        "https://shop.test:port/",
        "https://shop.test@evil.test/",
        "https://shop.test:443@evil.test/",
        "https://mei@shop.test/",
        "https://mei:secret@shop.test/",
        "https://@shop.test/",
        "https://evil.test\\@shop.test/",
        "https://shop.test\\.evil.test/",
        "https:\\\\shop.test/",
        "https://evil.test/\\shop.test",
        "https://evil.test#https://shop.test",
        "https://evil.test/https://shop.test",
        "https://evil.test%2f@shop.test/",
        "https://shop.test%2eevil.test/",
        "https://shop%2etest/",
        "https://shop.test/\r\nSet-Cookie: a=b",
        "https://shop.test/\nx",
        "ht\ttps://shop.test/",
        "https://shop\t.test/",
        " https://shop.test/",
        "https://shop.test/ ",
        "https://shop.test/\x00",
        "https://shоp.test/",
        "https://shop。test/",
        "https://ｓhop.test/",
        "https://[::1]/",
        "https://[shop.test/",
        "https://app.example.com:8443/",
        "https://app.example.com:8443/payment",
        "https://app.example.com:8443/pay/../admin",
        "https://app.example.com:8443/pay/%2e%2e/admin",
        "https://app.example.com:8443/pay/..%2fadmin",
        "https://app.example.com:8443/pay/..%5cadmin",
        "https://app.example.com/pay/done",
        "http://localhost:3000/done",
        "*",
        "https://*",
        f"https://shop.test/{'a' * 500}",
    ],
)
def test_another_one_is_not(url: str) -> None:
    assert not is_allowed(url)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://localhost:3000/done", True),
        ("http://localhost:3001/done", False),
        ("http://localhost.evil.test:3000/", False),
        ("http://127.0.0.1:3000/", False),
        ("http://intranet.test/", False),
        ("http://shop.test/", False),
        ("https://shop.test/", True),
    ],
)
def test_in_development_this_machine_needs_no_tls(url: str, allowed: bool) -> None:  # noqa: FBT001 - of a table
    assert is_allowed(url, development=True) is allowed


def test_nothing_is_allowed_where_nothing_is_named() -> None:
    with pytest.raises(ReturnUrlForbidden):
        return_urls.checked("https://shop.test/", allowed=(), development=True)
