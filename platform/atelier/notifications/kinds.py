"""What users are told about: one category for their switches, and the sentences, per kind.

`data` of a notification has the members that its sentences name in braces, unless `without` says what stands there
instead: `expiresAt` in milliseconds, `amount` and `rating` as integers, the rest as text. A title names nothing that
another user has written, so it may be the subject of an e-mail.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple

from atelier.kernel import clock

Locale = Literal["zh", "en"]
LOCALES: Final[tuple[Locale, ...]] = ("zh", "en")
TEXT_MAX = 500
_JOINERS = "\u200c\u200d"  # Persian and emoji need them


class Text(NamedTuple):
    """One thing to say, in both languages."""

    zh: str
    en: str

    def told(self, locale: Locale) -> str:
        """The text in one language."""
        return self.en if locale == "en" else self.zh


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """`category` is one of the switches of a user's settings. What `text` names must be in the data or in `without`."""

    category: str
    title: Text
    text: Text
    without: Mapping[str, Text] = field(default_factory=dict[str, Text])


class Told(NamedTuple):
    """A notification in one language."""

    title: str
    text: str


TRANSACTIONAL = frozenset({"account"})
"""Categories about the user's own account: their e-mails offer no unsubscribing by one click."""

_WORDS: Mapping[str, Text] = {
    "user": Text("普通用户", "user"),
    "creator": Text("创作者", "creator"),
    "admin": Text("管理员", "administrator"),
    "viewer": Text("查看者", "viewer"),
    "editor": Text("编辑者", "editor"),
}
_SOMEONE = Text("有用户", "Someone")
_NO_REASON = Text("未说明", "none given")

KINDS: Mapping[str, Kind] = {
    "agent_approved": Kind(
        category="agents",
        title=Text("您的 Agent 已通过审核", "Your agent was approved"),
        text=Text(
            "您的 Agent「{agentName}」已通过审核并上架。", "Your agent “{agentName}” was approved and is published."
        ),
    ),
    "agent_rejected": Kind(
        category="agents",
        title=Text("您的 Agent 未通过审核", "Your agent was not approved"),
        text=Text(
            "您的 Agent「{agentName}」未通过审核。原因：{reason}",
            "Your agent “{agentName}” was not approved. Reason: {reason}",
        ),
        without={"reason": _NO_REASON},
    ),
    "agent_sold": Kind(
        category="sales",
        title=Text("您的 Agent 有新的购买", "Your agent was bought"),
        text=Text(
            "您的 Agent「{agentName}」被购买，您获得 {amount} 积分。",
            "Your agent “{agentName}” was bought. You earned {amount} credits.",
        ),
    ),
    "review_received": Kind(
        category="reviews",
        title=Text("您的 Agent 收到新评价", "Your agent was reviewed"),
        text=Text(
            "您的 Agent「{agentName}」收到一条 {rating} 星评价。",
            "Your agent “{agentName}” was given {rating} of 5 stars.",
        ),
    ),
    "project_invitation": Kind(
        category="projects",
        title=Text("您收到一个项目邀请", "You were invited to a project"),
        text=Text(
            "{inviter}邀请您以{role}身份加入项目「{projectTitle}」。",
            "{inviter} invites you to the project “{projectTitle}” as {role}.",
        ),
        without={"inviter": _SOMEONE, "role": Text("成员", "member")},
    ),
    "invitation_accepted": Kind(
        category="projects",
        title=Text("您的项目邀请已被接受", "Your invitation was accepted"),
        text=Text("{invitee}已加入项目「{projectTitle}」。", "{invitee} has joined the project “{projectTitle}”."),
        without={"invitee": _SOMEONE},
    ),
    "subscription_expiring": Kind(
        category="subscriptions",
        title=Text("您的订阅即将到期", "Your subscription ends soon"),
        text=Text(
            "您订阅的 Agent「{agentName}」将于 {expiresAt} 到期，不会自动续订。",
            "Your subscription of the agent “{agentName}” ends at {expiresAt}. It is not renewed by itself.",
        ),
    ),
    "subscription_renewing": Kind(
        category="subscriptions",
        title=Text("您的订阅即将自动续订", "Your subscription will be renewed soon"),
        text=Text(
            "您订阅的 Agent「{agentName}」将于 {expiresAt} 到期，到期前一天内将从余额扣除 {amount} 积分自动续订，"
            "请保持余额充足。",
            "Your subscription of the agent “{agentName}” ends at {expiresAt}. Within the day before, it will be "
            "renewed for {amount} credits of your balance.",
        ),
    ),
    "subscription_renewed": Kind(
        category="subscriptions",
        title=Text("您的订阅已自动续订", "Your subscription was renewed"),
        text=Text(
            "您订阅的 Agent「{agentName}」已自动续订至 {expiresAt}，扣除 {amount} 积分。",
            "Your subscription of the agent “{agentName}” was renewed for {amount} credits. "
            "It now ends at {expiresAt}.",
        ),
    ),
    "subscription_unpaid": Kind(
        category="subscriptions",
        title=Text("余额不足，订阅未能自动续订", "Your balance is too low to renew a subscription"),
        text=Text(
            "您订阅的 Agent「{agentName}」自动续订需要 {amount} 积分，您的余额不足。请在 {expiresAt} 到期前充值，"
            "到期前会再次尝试。",
            "Renewing your subscription of the agent “{agentName}” takes {amount} credits, and your balance is too "
            "low. Add credits before it ends at {expiresAt}: until then it is tried again.",
        ),
    ),
    "subscription_price_risen": Kind(
        category="subscriptions",
        title=Text("价格已上涨，订阅不会自动续订", "A subscription is not renewed: its price has risen"),
        text=Text(
            "您订阅的 Agent「{agentName}」现价为 {amount} 积分，高于您同意的 {agreed} 积分，因此不会自动续订。"
            "如需继续使用，请在 {expiresAt} 到期前同意新的价格。",
            "The price of the agent “{agentName}” is now {amount} credits, more than the {agreed} that you agreed to, "
            "so your subscription is not renewed. Agree to the new price before it ends at {expiresAt} to go on.",
        ),
    ),
    "subscription_withdrawn": Kind(
        category="subscriptions",
        title=Text(
            "Agent 已停止订阅，不会自动续订", "A subscription is not renewed: its agent is not offered any more"
        ),
        text=Text(
            "您订阅的 Agent「{agentName}」已不再提供订阅，不会自动续订，将于 {expiresAt} 到期。",
            "The agent “{agentName}” is not offered by subscription any more, so yours is not renewed. "
            "It ends at {expiresAt}.",
        ),
    ),
    "subscription_expired": Kind(
        category="subscriptions",
        title=Text("您的订阅已到期", "Your subscription has ended"),
        text=Text(
            "您订阅的 Agent「{agentName}」已到期，续订后可继续使用。",
            "Your subscription of the agent “{agentName}” has ended. Renew it to go on using the agent.",
        ),
    ),
    "payment_received": Kind(
        category="account",
        title=Text("充值成功", "Your payment was received"),
        text=Text(
            "订单 {orderNo} 已支付 ¥{yuan}，{amount} 积分已到账。",
            "Order {orderNo} was paid with ¥{yuan}. You have been given {amount} credits.",
        ),
    ),
    "refund_made": Kind(
        category="account",
        title=Text("退款成功", "Your refund was made"),
        text=Text(
            "订单 {orderNo} 已退款 ¥{yuan}，扣回 {amount} 积分。",
            "¥{yuan} of order {orderNo} were paid back, and {amount} credits were taken back.",
        ),
    ),
    "refund_made_owing": Kind(
        category="account",
        title=Text("退款成功", "Your refund was made"),
        text=Text(
            "订单 {orderNo} 已退款 ¥{yuan}，应扣回 {amount} 积分，其中 {owed} 积分余额不足，将由之后的积分抵扣。",
            "¥{yuan} of order {orderNo} were paid back. Of the {amount} credits that go back for it, {owed} are owed: "
            "the next credits pay them.",
        ),
    ),
    "credits_adjusted": Kind(
        category="account",
        title=Text("您的积分有调整", "Your credits were adjusted"),
        text=Text(
            "管理员调整了您的积分：{amount:+}。原因：{reason}",
            "An administrator adjusted your credits: {amount:+}. Reason: {reason}",
        ),
        without={"reason": _NO_REASON},
    ),
    "webhook_failing": Kind(
        category="account",
        title=Text("您的 Webhook 已停用", "Your webhook was turned off"),
        text=Text(
            "发往 {address} 的 Webhook 连续多次投递失败，已停用。修复后请重新启用，未送达的事件可逐条重新投递。",
            "Your webhook at {address} failed many times in a row and was turned off. Turn it on when it works again; "
            "what was not delivered can be sent again.",
        ),
    ),
    "webhook_gone": Kind(
        category="account",
        title=Text("您的 Webhook 已停用", "Your webhook was turned off"),
        text=Text(
            "{address} 回复 410，表示不再接收事件，该 Webhook 已停用。",
            "{address} answered 410, which means that it wants no more events, so your webhook was turned off.",
        ),
    ),
    "role_changed": Kind(
        category="account",
        title=Text("您的角色已变更", "Your role was changed"),
        text=Text("您现在的角色是：{role}。", "Your role is now: {role}."),
    ),
}


def told(kind: str, data: Mapping[str, Any], locale: Locale) -> Told:
    """The sentences. Raises KeyError for an unknown kind or a missing member, ValueError for one of another type."""
    known = KINDS[kind]
    values: dict[str, Any] = {name: word.told(locale) for name, word in known.without.items()}
    values.update((name, _shown(name, value, locale)) for name, value in data.items() if value is not None)
    return Told(known.title.told(locale), known.text.told(locale).format_map(values))


def cleaned(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data as it is kept: every text on one line without control and direction characters, clipped at TEXT_MAX;
    `expiresAt`, which comes in milliseconds, in RFC 3339.
    """
    return {name: _kept(name, value) for name, value in data.items()}


def _kept(name: str, value: Any) -> Any:
    if name == "expiresAt" and isinstance(value, int):
        return clock.rfc3339(value)
    if isinstance(value, str):
        return " ".join("".join(c if c.isprintable() or c in _JOINERS else " " for c in value).split())[:TEXT_MAX]
    return value


def _shown(name: str, value: Any, locale: Locale) -> Any:
    if name == "role" and value in _WORDS:
        return _WORDS[value].told(locale)
    if name == "expiresAt":
        return datetime.fromisoformat(value).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return value
