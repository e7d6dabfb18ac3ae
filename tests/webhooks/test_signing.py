"""Signatures as Standard Webhooks have them, and secrets that lie sealed."""

import base64

import pytest

from atelier.correspondence import webhook_secrets
from atelier.kernel.keyring import Key, Keyring
from atelier.webhooks import signing
from atelier.webhooks.errors import SecretUnreadable
from tests.stack import KEYRING
from tests.webhooks.desk import Desk

# Published by a provider that signs so.
SECRET = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
BODY = b'{"id":"1234567890","status":"succeeded","message":"","create_time":1781080778802,"update_time":1781080794151}'
SIGNATURE = "v1,UsKlJP00XoQyOn410NM9xv34sP+Gl0jnOO9Lcpr7NJ4="


def test_the_published_example_is_signed_as_published() -> None:
    assert signing.signature(SECRET, event_id="9876543210", timestamp=1781080794, body=BODY) == SIGNATURE


def test_every_good_secret_signs() -> None:
    other = signing.new_secret()
    headers = signing.headers([SECRET, other], event_id="9876543210", timestamp=1781080794, body=BODY)
    first, second = headers["webhook-signature"].split(" ")
    assert first == SIGNATURE
    assert second == signing.signature(other, event_id="9876543210", timestamp=1781080794, body=BODY)
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("9876543210", "1781080794")


def test_secrets_are_32_random_bytes() -> None:
    one, other = signing.new_secret(), signing.new_secret()
    assert one != other
    assert one.startswith("whsec_")
    assert len(base64.b64decode(one.removeprefix("whsec_"), validate=True)) == 32


def test_a_sealed_secret_is_opened_by_its_key_only() -> None:
    secret = signing.new_secret()
    sealed = signing.seal(KEYRING, secret)
    assert secret not in sealed.text
    assert len(sealed.text) <= 255
    assert signing.opened(KEYRING, sealed) == secret
    newer = Keyring(Key.of("n" * 40), KEYRING.current)
    assert signing.opened(newer, sealed) == secret
    for stranger in (Keyring(Key.of("n" * 40)), Keyring(Key(sealed.kid, b"x" * 40))):
        with pytest.raises(SecretUnreadable):
            signing.opened(stranger, sealed)


def test_secrets_outlive_the_key_that_sealed_them(desk: Desk) -> None:
    webhook = desk.webhook("https://example.com/")
    newest = desk.rotate(webhook)
    newer = Keyring(Key.of("n" * 40), KEYRING.current)
    assert webhook_secrets.seal_again(desk.db, keyring=newer) == 1
    assert webhook_secrets.seal_again(desk.db, keyring=newer) == 0
    alone = Keyring(newer.current)
    good = webhook_secrets.good(desk.db, owner_id=webhook.id, user_id=desk.user_id, keyring=alone)
    assert good == [newest, desk.secrets[webhook.id]]
