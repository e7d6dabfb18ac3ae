"""RSA keys and signatures as both gateways use them: PKCS #1 v1.5 with SHA-256, and nothing else."""

import base64
import binascii
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes, PublicKeyTypes
from cryptography.x509 import load_pem_x509_certificate, load_pem_x509_certificates

BITS_MIN = 2048
PEM = "-----BEGIN"


class BadKey(ValueError):
    """This is no RSA key of at least 2048 bits."""


def private_key(text: str) -> RSAPrivateKey:
    """A private key from PEM, or from the bare Base64 in which Alipay's tools hand out PKCS #8 and PKCS #1.

    Raises BadKey.
    """
    try:
        loaded = (
            serialization.load_pem_private_key(text.encode(), password=None)
            if PEM in text
            else serialization.load_der_private_key(base64.b64decode("".join(text.split())), password=None)
        )
    except (ValueError, TypeError) as error:
        raise BadKey("no private key") from error
    if not isinstance(loaded, RSAPrivateKey) or loaded.key_size < BITS_MIN:
        raise BadKey(f"no RSA key of {BITS_MIN} bits")
    return loaded


def public_key(text: str) -> RSAPublicKey:
    """A public key from PEM, a PEM certificate, or bare Base64. Raises BadKey."""
    try:
        loaded = _public(text)
    except (ValueError, TypeError) as error:
        raise BadKey("no public key") from error
    if not isinstance(loaded, RSAPublicKey) or loaded.key_size < BITS_MIN:
        raise BadKey(f"no RSA key of {BITS_MIN} bits")
    return loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A key with the serial number that messages name it by, in capital hexadecimal digits, and its last moment."""

    serial: str
    key: RSAPublicKey
    until_ms: int


def certificates(text: str) -> list[Certificate]:
    """Certificates from PEM, one after the other. Raises BadKey."""
    try:
        loaded = load_pem_x509_certificates(text.encode())
    except ValueError as error:
        raise BadKey("no certificate") from error
    found: list[Certificate] = []
    for one in loaded:
        key = one.public_key()
        if not isinstance(key, RSAPublicKey) or key.key_size < BITS_MIN:
            raise BadKey(f"no RSA key of {BITS_MIN} bits")
        until_ms = int(one.not_valid_after_utc.timestamp()) * 1000
        found.append(Certificate(serial=f"{one.serial_number:X}", key=key, until_ms=until_ms))
    return found


def _public(text: str) -> PublicKeyTypes | CertificatePublicKeyTypes:
    if "BEGIN CERTIFICATE" in text:
        return load_pem_x509_certificate(text.encode()).public_key()
    if PEM in text:
        return serialization.load_pem_public_key(text.encode())
    return serialization.load_der_public_key(base64.b64decode("".join(text.split())))


def sign(content: bytes, key: RSAPrivateKey) -> str:
    """The signature in Base64."""
    return base64.b64encode(key.sign(content, padding.PKCS1v15(), hashes.SHA256())).decode()


def is_signed(content: bytes, signature: str, key: RSAPublicKey) -> bool:
    """Whether `signature` is what the owner of the key makes of `content`. Never raises, whatever the signature is."""
    try:
        raw = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    try:
        key.verify(raw, content, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True
