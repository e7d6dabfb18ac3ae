"""The demo buys credits: it orders as a user, pays at the sandbox's cashier as a payer, and waits as a user."""

import asyncio
from html.parser import HTMLParser
from typing import Any, Final

import httpx
from typing_extensions import override

from atelier.cli.console import Stop
from atelier.cli.demo_client import Client
from atelier.cli.words import say

CREDITED_SECONDS_MAX: Final = 60.0
_METHOD: Final = "alipay"
_BUTTON: Final = "/pay"
_ASK_SECONDS: Final = 0.2


async def buy(client: Client, *, language: str) -> dict[str, Any]:
    """Buy the smallest package; answers the order when its credits are there. Raises Stop."""
    package, *_ = await client.packages()
    before = await client.balance()
    ordered = await client.buy(package, method=_METHOD)
    await _pay(ordered["paymentUrl"], language=language)
    order = await _credited(client, ordered["orderId"])
    got = await client.balance() - before
    if got != ordered["credits"]:
        words = f"{got} credits came instead of {ordered['credits']}"
        raise Stop(say(words, zh=f"应到账 {ordered['credits']} 积分，实到 {got}"))
    return order


async def _pay(address: str, *, language: str) -> None:
    """What a payer's browser does: open the address, press the button."""
    headers = {"Accept-Language": language}
    try:
        async with httpx.AsyncClient(headers=headers, follow_redirects=True, trust_env=False, timeout=30) as browser:
            page = await browser.get(address)
            forms = _Forms(page.text)
            if not page.is_success or not forms.pay:
                raise Stop(
                    say(
                        f"The cashier has no way to pay ({page.status_code})",
                        zh=f"收银台无法支付（{page.status_code}）",
                    )
                )
            (await browser.post(page.url.join(forms.pay))).raise_for_status()
    except httpx.HTTPError as error:
        kind = type(error).__name__
        raise Stop(say(f"The cashier doesn't answer ({kind})", zh=f"收银台没有响应（{kind}）")) from error


async def _credited(client: Client, order_id: str) -> dict[str, Any]:
    try:
        async with asyncio.timeout(CREDITED_SECONDS_MAX):
            while True:
                order = await client.order(order_id)
                if order["status"] != "pending":
                    return order
                await asyncio.sleep(_ASK_SECONDS)
    except TimeoutError:
        raise Stop(say("The payment was not credited", zh="付款后积分未到账")) from None


class _Forms(HTMLParser):
    """Finds where the button leads that pays."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.pay = ""
        self.feed(page)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at a form."""
        action = dict(attrs).get("action") or ""
        if tag == "form" and action.partition("?")[0].endswith(_BUTTON):
            self.pay = action
