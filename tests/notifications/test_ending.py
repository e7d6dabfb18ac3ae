"""Ending e-mails by the link that they carry, over HTTP."""

import asyncio
import re
from html import unescape
from typing import Any

import pytest

from atelier.accounts import preferences
from atelier.kernel.ids import new_id
from atelier.mail import links
from tests.notifications.town import Served

FORM = "application/x-www-form-urlencoded"
CLICK = b"List-Unsubscribe=One-Click"


def path_of(served: Served, user_id: str, category: str = "agents") -> str:
    """The link, below our own address."""
    address = links.unsubscribe(served.town.settings, user_id=user_id, category=category)
    return address.removeprefix("https://api.test")


def mailed(served: Served, user_id: str) -> set[str]:
    """The categories of which the user gets e-mails."""
    found = served.town.db.read(preferences.read, user_id=user_id)
    return {name for name, switches in found.notifications.items() if switches.email}


async def test_one_click_ends_one_category_of_one_user(served: Served) -> None:
    mei, li = served.town.person(), served.town.person()
    served.town.told(mei)
    (letter,) = served.town.post()
    link = re.search(r"https://api\.test(/api/\S+)", letter.text)
    assert link
    before = mailed(served, mei)
    for _ in range(2):
        got = await served.site.ask("POST", link[1], data=CLICK, Content_Type=FORM)
        assert (got.status, got.body["success"]) == (200, True)
        assert "Agent 审核通知" in got.body["message"]
        assert mailed(served, mei) == before - {"agents"}
    assert mailed(served, li) == before
    served.town.told(mei)
    assert len(served.town.emails(mei)) == 1
    settings = await served.ask("GET", "/api/users/settings", who=mei)
    assert settings.body["notifications"]["agents"] == {"email": False, "live": True}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (CLICK, FORM),
        (
            b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--',
            "multipart/form-data",
        ),
        (b"", "text/plain"),
        (b"{}", "application/json"),
        (None, None),
    ],
)
async def test_whatever_a_mail_service_sends_is_a_click(served: Served, data: Any, content_type: str | None) -> None:
    mei = served.town.person()
    headers = {"Content_Type": content_type} if content_type else {}
    got = await served.site.ask("POST", path_of(served, mei), data=data, **headers)
    assert got.status == 200
    assert "agents" not in mailed(served, mei)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_more_than_a_click_is_too_much(served: Served) -> None:
    mei = served.town.person()
    got = await served.site.ask("POST", path_of(served, mei), data=b"x" * 5_000, Content_Type=FORM)
    assert (got.status, got.code) == (413, "PAYLOAD_TOO_LARGE")
    assert "agents" in mailed(served, mei)


async def test_looking_at_the_link_changes_nothing_and_its_button_does(served: Served) -> None:
    mei = served.town.person()
    path = path_of(served, mei)
    page = await served.site.ask("GET", path, Accept_Language="en")
    assert (page.status, page.headers["Content-Type"], page.headers["Cache-Control"]) == (
        200,
        "text/html; charset=utf-8",
        "no-store",
    )
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "agents" in mailed(served, mei)
    action = re.search(r'<form method="post" action="([^"]+)">', page.raw.decode())
    assert action
    target = path.partition("?")[0] + unescape(action[1])
    assert target == path
    done = await served.site.ask(
        "POST", target, data=CLICK, Content_Type=FORM, Accept="text/html,*/*", Accept_Language="en"
    )
    assert done.headers["Content-Type"] == "text/html; charset=utf-8"
    assert b"no more e-mails about reviews of your agents" in done.raw
    assert "agents" not in mailed(served, mei)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_bad_link_tells_nothing(served: Served, method: str) -> None:
    mei = served.town.person()
    good = path_of(served, mei)
    account = path_of(served, mei, "account")
    bad = [good[:-1], good + "x", good.replace(mei, new_id()), good.replace("agents", "nonsense"), account]
    got = [await served.site.ask(method, one) for one in bad]
    assert [(one.status, one.code) for one in got] == [(400, "TOKEN_INVALID")] * len(bad)
    assert (await served.site.ask(method, "/api/notifications/unsubscribe")).status == 400
    assert (await served.site.ask(method, good.partition("token=")[0] + "token=" + "x" * 500)).status == 400
    assert {"agents", "account"} <= mailed(served, mei)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_whether_there_is_such_a_user_is_not_told(served: Served) -> None:
    mei = served.town.person()
    got = [await served.site.ask("POST", path_of(served, user_id)) for user_id in (mei, new_id())]
    assert (got[0].status, got[0].raw) == (got[1].status, got[1].raw) == (200, got[0].raw)


async def test_a_click_and_a_change_of_the_settings_at_once_are_both_kept(served: Served) -> None:
    mei = served.town.person()
    clicks = [served.site.ask("POST", path_of(served, mei, one)) for one in ("agents", "projects", "subscriptions")]
    changes = [
        served.ask("PUT", "/api/users/settings", who=mei, body=body)
        for body in ({"locale": "en"}, {"theme": "dark"}, {"notifications": {"sales": {"email": True}}})
    ]
    assert {one.status for one in await asyncio.gather(*clicks, *changes)} == {200}
    found = served.town.db.read(preferences.read, user_id=mei)
    assert (found.locale, found.theme) == ("en", "dark")
    assert mailed(served, mei) == {"sales", "account"}
