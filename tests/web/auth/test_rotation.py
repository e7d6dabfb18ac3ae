"""Signing in and mailed links while the secret is rotated."""

import json

from sqlalchemy import select
from sqlalchemy.orm import Session

from atelier.contracts.messages import MAIL_SEND
from atelier.contracts.outbox import OutboxRow
from atelier.mail import delivery, mailbox, mailers
from atelier.mail.models import Email
from tests.web.auth.conftest import NEW_PASSWORD, ONE_DATABASE, Open, Site

OLD = "4f1d0a7c9be24d0f8a63b5e7c2d19480f7a6e5d4c3b2a190"
NEW = "J4v9-kQ2x_8wZr7LmN1pTb6cYd3fHs5g"
VERIFY, RESET = "请验证您的邮箱", "重置您的密码"


async def test_who_signed_in_before_stays_until_the_old_key_is_retired(open_site: Open) -> None:
    async with open_site(jwt_secret=OLD) as before:
        await before.registered()
        token = await before.token()
    async with open_site(jwt_secret=NEW, jwt_secret_previous=OLD) as during:
        assert (await during.profile(token)).status == 200
        newer = await during.token()
    async with open_site(jwt_secret=NEW) as after:
        got = await after.profile(token)
        assert (got.status, got.body["code"]) == (401, "UNAUTHORIZED")
        assert (await after.profile(newer)).status == 200


async def test_a_letter_that_was_queued_before_carries_the_token_that_was_made_for_it(open_site: Open) -> None:
    async with open_site(jwt_secret=OLD) as before:
        await before.registered()
        await before.post("forgot-password", {"email": "mei@example.com"})
    async with open_site(jwt_secret=NEW, jwt_secret_previous=OLD) as during:
        proof, link = during.linked_token(VERIFY), during.linked_token(RESET)
        assert (await during.post("verify-email", {"token": proof})).status == 200
        assert (await during.post("reset-password", {"token": link, "password": NEW_PASSWORD})).status == 200


async def test_a_link_that_arrived_before_is_good_even_when_the_old_key_is_retired(open_site: Open) -> None:
    async with open_site(jwt_secret=OLD) as before:
        await before.registered()
        proof = before.linked_token(VERIFY)
    # What is compared is a digest that was stored when it was made.
    async with open_site(jwt_secret=NEW) as after:
        assert (await after.post("verify-email", {"token": proof})).status == 200


@ONE_DATABASE
async def test_a_letter_whose_key_is_not_here_waits_for_a_worker_that_has_it(open_site: Open) -> None:
    async with open_site(jwt_secret=NEW, jwt_secret_previous=OLD) as during:
        await during.registered()
    async with open_site(jwt_secret=OLD) as behind:
        assert _delivered(behind) == ["later"]
        assert mailbox.listing(mailbox.folder(behind.settings)) == []
        assert behind.database.read(_fate) == ("queued", "made with a key that is not active here")


def _fate(session: Session) -> tuple[str, str | None]:
    """State and error of the only letter."""
    row = session.execute(select(Email.state, Email.error)).one()
    return row.state, row.error


def _delivered(site: Site) -> list[str]:
    """Send what waits, as a worker of this site does."""
    waiting = select(OutboxRow.message).where(OutboxRow.contract == MAIL_SEND.name)
    messages = site.database.read(lambda session: session.scalars(waiting).all())
    mailer = mailers.choose(site.settings)
    return [
        delivery.deliver(site.database, mailer=mailer, settings=site.settings, email_id=json.loads(one)["emailId"])
        for one in messages
    ]
