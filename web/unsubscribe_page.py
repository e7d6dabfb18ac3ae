"""The two small pages behind the link of an e-mail: one with a button, because a link is also opened by machines that
only look where it leads, and one that says that it is done.
"""

import base64
from hashlib import sha256
from html import escape

from web.messages import Locale, Sentence
from web.routing import Reply

STYLE = (
    "body{margin:0;padding:48px 24px;background:#f6f6f4;color:#1c1c1a;font:16px/1.6 sans-serif;text-align:center}"
    "button{padding:12px 24px;border:0;border-radius:8px;background:#1c1c1a;color:#fff;font:inherit;cursor:pointer}"
)
POLICY = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(sha256(STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
CATEGORIES = {
    "agents": Sentence("Agent 审核通知", "reviews of your agents before publication"),
    "sales": Sentence("Agent 销售通知", "sales of your agents"),
    "reviews": Sentence("用户评价通知", "what users say about your agents"),
    "projects": Sentence("项目协作通知", "projects and invitations"),
    "subscriptions": Sentence("订阅续订与到期通知", "subscriptions that are renewed or end"),
}
TITLE = Sentence("退订邮件", "Unsubscribe")
QUESTION = Sentence("不再接收“{category}”邮件？", "Get no more e-mails about {category}?")
BUTTON = Sentence("确认退订", "Unsubscribe")
DONE = Sentence(
    "已退订“{category}”邮件。您可以随时在设置中重新开启。",
    "You will get no more e-mails about {category}. Your settings can turn them on again at any time.",
)


def question(category: str, *, token: str, locale: Locale) -> Reply:
    """The page with the button, which sends what RFC 8058 says."""
    form = (
        f'<form method="post" action="?token={escape(token)}">'
        '<input type="hidden" name="List-Unsubscribe" value="One-Click">'
        f"<button>{BUTTON.text(locale)}</button></form>"
    )
    return _page(QUESTION.text(locale).format(category=CATEGORIES[category].text(locale)), form, locale)


def done(category: str, *, locale: Locale) -> Reply:
    """The page afterwards."""
    return _page(told(category, locale=locale), "", locale)


def told(category: str, *, locale: Locale) -> str:
    """That it is done."""
    return DONE.text(locale).format(category=CATEGORIES[category].text(locale))


def _page(sentence: str, form: str, locale: Locale) -> Reply:
    language = "en" if locale == "en" else "zh-CN"
    page = (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{TITLE.text(locale)}</title><style>{STYLE}</style></head>"
        f"<body><p>{escape(sentence)}</p>{form}</body></html>"
    )
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
    return Reply(raw=page.encode(), content_type="text/html; charset=utf-8", headers=headers)
