"""Who is who in the sandbox: numbers and keys of a made-up merchant and of both gateways, made once per folder.

The sandbox signs with the gateways' keys and verifies with the merchant's; our side of it gets its half as settings.
"""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from atelier.gateways import keys

_FILE: Final = "identity.json"
_CERTIFICATE_DAYS: Final = 5 * 365


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A platform certificate of WeChat Pay with its key, both PEM. `serial` is what messages call it."""

    serial: str
    key: str
    certificate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Everything that is secret in the sandbox, as PEM and text. The last certificate is the one that signs."""

    alipay_app_id: str
    alipay_seller_id: str
    alipay_merchant_key: str
    alipay_key: str
    wechat_mchid: str
    wechat_appid: str
    wechat_serial: str
    wechat_merchant_key: str
    wechat_api_key: str
    wechat_public_key_id: str
    wechat_key: str
    wechat_certificates: tuple[Certificate, ...]

    @classmethod
    def made(cls) -> Self:
        """A new merchant at new gateways."""
        return cls(
            alipay_app_id=f"2021{_digits(12)}",
            alipay_seller_id=f"2088{_digits(12)}",
            alipay_merchant_key=_new_key(),
            alipay_key=_new_key(),
            wechat_mchid=f"19{_digits(8)}",
            wechat_appid=f"wx{secrets.token_hex(8)}",
            wechat_serial=secrets.token_hex(20).upper(),
            wechat_merchant_key=_new_key(),
            wechat_api_key=secrets.token_hex(16),
            wechat_public_key_id=f"PUB_KEY_ID_01{_digits(20)}",
            wechat_key=_new_key(),
            wechat_certificates=(_new_certificate(),),
        )

    def rotated(self) -> Self:
        """The same with a new platform certificate, which signs from now on; the old ones stay good."""
        return replace(self, wechat_certificates=(*self.wechat_certificates, _new_certificate()))


def kept(folder: Path) -> Identity:
    """The identity that the folder keeps, readable by its owner only; made when there is none."""
    path = folder / _FILE
    if not path.exists():
        _write(path, Identity.made(), anew=False)
    found = json.loads(path.read_text("utf-8"))
    certificates = tuple(Certificate(**one) for one in found.pop("wechat_certificates"))
    return Identity(**found, wechat_certificates=certificates)


def keep(folder: Path, identity: Identity) -> None:
    """Keep another one instead."""
    _write(folder / _FILE, identity, anew=True)


def settings(identity: Identity, *, url: str) -> Mapping[str, str]:
    """The settings of the merchant, by field of Settings, for a sandbox at this address (without a final slash)."""
    return {
        "alipay_app_id": identity.alipay_app_id,
        "alipay_seller_id": identity.alipay_seller_id,
        "alipay_private_key": identity.alipay_merchant_key,
        "alipay_public_key": _public(identity.alipay_key),
        "alipay_url": f"{url}/alipay/gateway.do",
        "wechat_mchid": identity.wechat_mchid,
        "wechat_appid": identity.wechat_appid,
        "wechat_serial": identity.wechat_serial,
        "wechat_private_key": identity.wechat_merchant_key,
        "wechat_api_key": identity.wechat_api_key,
        "wechat_public_key_id": identity.wechat_public_key_id,
        "wechat_public_key": _public(identity.wechat_key),
        "wechat_certificates": "".join(one.certificate for one in identity.wechat_certificates),
        "wechat_url": url,
    }


def loaded(text: str) -> RSAPrivateKey:
    """One of these keys. It was made here, so whether its factors are primes isn't proven again each time."""
    key = serialization.load_pem_private_key(text.encode(), password=None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, RSAPrivateKey)
    return key


def _digits(count: int) -> str:
    return "".join(secrets.choice("0123456789") for _ in range(count))


def _new_key() -> str:
    return _pem(rsa.generate_private_key(public_exponent=65_537, key_size=keys.BITS_MIN))


def _pem(key: RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _public(private: str) -> str:
    public = loaded(private).public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def _new_certificate() -> Certificate:
    """A certificate that signs itself: who trusts it has it from its settings."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=keys.BITS_MIN)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Atelier sandbox of WeChat Pay")])
    # Forty digits, however they are written: none is lost to a leading zero.
    serial, now = x509.random_serial_number() | 1 << 158, datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_CERTIFICATE_DAYS))
        .sign(key, hashes.SHA256())
    )
    text = built.public_bytes(serialization.Encoding.PEM).decode()
    return Certificate(serial=f"{serial:X}", key=_pem(key), certificate=text)


def _write(path: Path, identity: Identity, *, anew: bool) -> None:
    """Write the file whole or not at all. Unless `anew`, whoever comes first wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(identity), file, indent=1)
    if anew:
        unfinished.replace(path)
        return
    try:
        path.hardlink_to(unfinished)
    except FileExistsError:
        pass
    finally:
        unfinished.unlink()
