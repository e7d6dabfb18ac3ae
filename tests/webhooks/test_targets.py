"""Which addresses users may name: the public internet, whatever form the others are written in."""

import pytest

from atelier.callouts import targets
from atelier.callouts.targets import BadTarget

GOOD = {
    "https://example.com/x?y=1": "https://example.com/x?y=1",
    "https://EXAMPLE.com:443/": "https://example.com/",
    "https://example.com.": "https://example.com",
    "https://example.com:8443/a": "https://example.com:8443/a",
    "https://bücher.example/ü": "https://xn--bcher-kva.example/%C3%BC",
    "https://例子.测试/": "https://xn--fsqu00a.xn--0zwm56d/",
    "https://8.8.8.8/": "https://8.8.8.8/",
    "https://[2606:4700::1111]/": "https://[2606:4700::1111]/",
    "https://example.com/@me": "https://example.com/@me",
}
BAD = {
    **dict.fromkeys(
        (
            "https://127.0.0.1/",
            "https://127.0.0.1./",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0x7f.1/",
            "https://017700000001/",
            "https://127。0。0。1/",
            "https://0.0.0.0/",
            "https://10.0.0.1/",
            "https://172.16.0.1/",
            "https://192.168.1.1/",
            "https://169.254.169.254/latest/meta-data",
            "https://100.64.0.1/",
            "https://100.100.100.200/",
            "https://168.63.129.16/",
            "https://192.0.2.1/",
            "https://224.0.0.1/",
            "https://255.255.255.255/",
            "https://[::]/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[::7f00:1]/",
            "https://[2002:7f00:1::]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[fe80::1]/",
            "https://[fe80::1%25eth0]/",
            "https://[fc00::1]/",
            "https://[ff02::1]/",
            "https://localhost/",
            "https://localhost./",
            "https://a.localhost/",
            "https://printer/",
            "https://nas.local/",
            "https://metadata.google.internal/",
            "https://example..com/",
            "https://example.com../",
            "https:",
            "https:x",
            "https:@",
            "https:x@y",
            "https:example.com",
            "HTTPS:",
            "https:?x@y",
            "https:/",
            "https:/x",
            "https:/x@y",
            "https:;//x",
            "https://",
            "https:///",
            "https:///x",
            "https:////x",
            "https://?x",
            "https://:",
            "https://:443",
            "https://:443/",
            "https://@",
            "https://@:443/",
            "https://.",
            "https://[",
            "https://]/",
            "https://%00/",
            "https://ex%61mple.com/",
            "https://xn--/",
        ),
        "url_host",
    ),
    "https://[]/": "url",
    "https://[x]/": "url",
    "https://[::1": "url",
    "https://[::ffff:0x7f000001]/": "url",
    "https://example.com:x/": "url",
    "https://example.com:443:443/": "url",
    "https://example.com:-1/": "url_port",
    "https:\\\\example.com/": "url",
    "https": "url_scheme",
    "http:": "url_scheme",
    "://example.com/": "url_scheme",
    "https://user@example.com/": "url_userinfo",
    "https://user:password@example.com/": "url_userinfo",
    "https://@example.com/": "url_userinfo",
    "https://example.com@127.0.0.1/": "url_userinfo",
    "https://example.com:22/": "url_port",
    "https://example.com:80/": "url_port",
    "https://example.com:0/": "url_port",
    "http://example.com/": "url_scheme",
    "ftp://example.com/": "url_scheme",
    "javascript:alert(1)": "url_scheme",
    "//example.com/": "url_scheme",
    "example.com": "url_scheme",
    "": "url",
    "https://example.com/#secret": "url",
    "https://example.com\\@evil.example/": "url",
    "https://example.com/\r\nHost: evil": "url",
    " https://example.com/": "url",
    "https://exa mple.com/": "url",
    "https://１２７.0.0.1/": "url",
    "https://example.com:99999/": "url_port",
    f"https://example.com/{'a' * 2_000}": "url",
    f"https://{'a' * 64}.example/": "url_host",
    "https://-a.example/": "url_host",
    "https://a*b.example/": "url_host",
}


@pytest.mark.parametrize(("text", "plain"), GOOD.items())
def test_what_may_be_called_has_one_plain_form(text: str, plain: str) -> None:
    assert targets.target(text, loopback=False) == plain
    assert targets.target(plain, loopback=False) == plain


@pytest.mark.parametrize(("text", "reason"), BAD.items())
def test_everything_else_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(BadTarget) as refused:
        targets.target(text, loopback=False)
    assert refused.value.reason == reason


def test_a_development_may_name_its_own_machine_and_nothing_else_of_its_network() -> None:
    for own in ("http://127.0.0.1:8080/x", "http://localhost:9", "https://[::1]:5/", "http://hooks.example.test:81/"):
        assert targets.target(own, loopback=True)
    for other in (
        *("http://10.0.0.1/", "http://169.254.169.254/", "http://2130706433/", "http://u@127.0.0.1/"),
        *("http:", "http:x", "http:127.0.0.1", "https:localhost"),
    ):
        with pytest.raises(BadTarget):
            targets.target(other, loopback=True)


def test_what_is_shown_of_an_address_has_none_of_its_secrets() -> None:
    assert targets.origin("https://example.com:8443/token/abc?key=1") == "https://example.com:8443"
