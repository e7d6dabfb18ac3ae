"""Which gateways there are, by the settings; half a configuration is refused with the name of every missing half."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from atelier.gateways.choose import gateways_of
from atelier.gateways.errors import Forged
from atelier.gateways.port import Gateway
from atelier.kernel import settings
from atelier.kernel.settings import BadSettings
from tests.gateways.merchants import (
    API_KEY,
    APP_ID,
    APPID,
    MCHID,
    NOW_MS,
    OLD,
    OLD_SERIAL,
    OURS,
    PAID,
    PUBLIC_KEY_ID,
    SELLER_ID,
    SERIAL,
    STRANGER,
    THEIRS,
    alipay_notice,
    bare,
    certificate_pem,
    private_pem,
    public_pem,
    wechat_headers,
    wechat_notice,
)

ALIPAY = {
    "ATELIER_ALIPAY_APP_ID": APP_ID,
    "ATELIER_ALIPAY_SELLER_ID": SELLER_ID,
    "ATELIER_ALIPAY_PRIVATE_KEY": bare(private_pem(OURS)),
    "ATELIER_ALIPAY_PUBLIC_KEY": bare(public_pem(THEIRS)),
}
WECHAT = {
    "ATELIER_WECHAT_MCHID": MCHID,
    "ATELIER_WECHAT_APPID": APPID,
    "ATELIER_WECHAT_SERIAL": SERIAL,
    "ATELIER_WECHAT_PRIVATE_KEY": private_pem(OURS),
    "ATELIER_WECHAT_API_KEY": API_KEY.decode(),
}
PUBLIC_KEY = {"ATELIER_WECHAT_PUBLIC_KEY_ID": PUBLIC_KEY_ID, "ATELIER_WECHAT_PUBLIC_KEY": public_pem(THEIRS)}
CERTIFICATES = {
    "ATELIER_WECHAT_CERTIFICATES": certificate_pem(OLD, OLD_SERIAL) + certificate_pem(STRANGER, "0" + OLD_SERIAL[1:])
}
PRODUCTION = {
    "NODE_ENV": "production",
    "DATABASE_URL": "mysql://atelier:x@db/atelier",
    "JWT_SECRET": "J4v9-kQ2x_8wZr7LmN1pTb6cYd3fHs5g",
    "ATELIER_FLOWER_AUTH": "ops:Vq8-ring",
}


@pytest.fixture(autouse=True)
def environment(tmp_path: Path) -> Iterator[Path]:
    """Variables that a test sets end with it."""
    before = dict(os.environ)
    os.environ["ATELIER_DATA_DIR"] = str(tmp_path / "data")
    yield tmp_path
    os.environ.clear()
    os.environ.update(before)


def _made() -> dict[str, Gateway]:
    return dict(gateways_of(settings.load()))


def test_without_settings_there_is_no_gateway() -> None:
    assert _made() == {}


def test_a_gateway_is_made_of_its_settings() -> None:
    os.environ |= ALIPAY
    made = _made()
    assert list(made) == ["alipay"]
    assert made["alipay"].notice({}, alipay_notice(), now_ms=NOW_MS).kind == "payment"


@pytest.mark.parametrize("platform", [PUBLIC_KEY, CERTIFICATES, PUBLIC_KEY | CERTIFICATES])
def test_wechat_is_made_with_a_public_key_with_certificates_or_with_both(platform: dict[str, str]) -> None:
    os.environ |= WECHAT | platform
    gateway, body = _made()["wechat"], wechat_notice(PAID)
    signers = [(PUBLIC_KEY, THEIRS, PUBLIC_KEY_ID), (CERTIFICATES, OLD, OLD_SERIAL)]
    for needed, key, serial in signers:
        headers = wechat_headers(body, key=key, serial=serial)
        if needed.items() <= platform.items():
            assert gateway.notice(headers, body, now_ms=NOW_MS).kind == "payment"
        else:
            with pytest.raises(Forged, match="serial"):
                gateway.notice(headers, body, now_ms=NOW_MS)


@pytest.mark.parametrize(
    "given",
    [
        *({name: value} for name, value in (ALIPAY | WECHAT | PUBLIC_KEY).items()),
        *({one: (ALIPAY | PUBLIC_KEY)[one] for one in ALIPAY | PUBLIC_KEY if one != name} for name in ALIPAY),
    ],
)
def test_half_a_gateway_is_refused_with_every_missing_half(given: dict[str, str]) -> None:
    os.environ |= given
    expected = {
        name
        for whole in (ALIPAY, WECHAT | PUBLIC_KEY)
        if whole.keys() & given.keys()
        for name in whole.keys() - given.keys()
    }
    with pytest.raises(BadSettings) as caught:
        settings.load()
    assert {reason.split(" ")[0] for reason in str(caught.value).split("; ")} == expected


def test_wechat_needs_a_key_to_verify_with() -> None:
    os.environ |= WECHAT
    with pytest.raises(BadSettings, match="ATELIER_WECHAT_PUBLIC_KEY or a platform certificate is needed"):
        settings.load()


@pytest.mark.parametrize("key", ["short", "0" * 33, "密" * 32])
def test_a_sealing_key_has_32_bytes(key: str) -> None:
    os.environ |= WECHAT | PUBLIC_KEY | {"ATELIER_WECHAT_API_KEY": key}
    with pytest.raises(BadSettings, match="ATELIER_WECHAT_API_KEY must have exactly 32 bytes") as caught:
        settings.load()
    assert key not in str(caught.value).replace("ATELIER_WECHAT_API_KEY", "")


@pytest.mark.parametrize("name", [name for name in {**ALIPAY, **WECHAT, **PUBLIC_KEY, **CERTIFICATES} if "KEY" in name])
def test_a_key_that_is_none_is_named_and_not_shown(name: str) -> None:
    os.environ |= ALIPAY | WECHAT | PUBLIC_KEY | CERTIFICATES
    if name in ("ATELIER_WECHAT_API_KEY", "ATELIER_WECHAT_PUBLIC_KEY_ID"):
        assert set(_made()) == {"alipay", "wechat"}
        return
    os.environ[name] = "canary"
    with pytest.raises(BadSettings, match=name) as caught:
        _made()
    assert "canary" not in str(caught.value)


def test_certificates_that_are_none_are_named() -> None:
    os.environ |= WECHAT | {"ATELIER_WECHAT_CERTIFICATES": "-----BEGIN CERTIFICATE-----\ncanary"}
    with pytest.raises(BadSettings, match="ATELIER_WECHAT_CERTIFICATES: no certificate"):
        _made()


def test_production_pays_by_https_only() -> None:
    addresses = {"ATELIER_ALIPAY_URL": "http://a.test/gateway.do", "ATELIER_WECHAT_URL": "http://w.test"}
    os.environ |= PRODUCTION | ALIPAY | WECHAT | PUBLIC_KEY | addresses
    with pytest.raises(BadSettings) as caught:
        settings.load()
    for name in (*addresses, "ATELIER_PUBLIC_URL"):
        assert f"{name} must be https://" in str(caught.value)
    os.environ |= dict.fromkeys((*addresses, "ATELIER_PUBLIC_URL"), "https://good.test")
    assert set(_made()) == {"alipay", "wechat"}


def test_production_without_payments_needs_no_address_for_them() -> None:
    os.environ |= PRODUCTION | {"ATELIER_WECHAT_URL": "http://w.test"}
    assert _made() == {}
