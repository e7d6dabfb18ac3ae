"""The lines of a statement in words."""

from collections.abc import Mapping

from web.messages import Locale, Sentence

LINES: Mapping[str, Sentence] = {
    "capture": Sentence("使用Agent: {note}", "Used agent: {note}"),
    "consume": Sentence("使用服务: {note}", "Used service: {note}"),
    "topup": Sentence("充值积分 {note}", "Credits bought {note}"),
    "bonus": Sentence("赠送积分 {note}", "Bonus credits {note}"),
    "purchase": Sentence("购买Agent: {note}", "Bought agent: {note}"),
    "clawback": Sentence("退款扣回积分 {note}", "Credits taken back for a refund {note}"),
    "restore": Sentence("退还已扣回积分 {note}", "Credits of a failed refund given back {note}"),
    "share": Sentence("创作收入: {note}", "Earnings: {note}"),
    "adjust": Sentence("人工调整: {note}", "Adjustment: {note}"),
}


def describe(kind: str, note: str | None, locale: Locale) -> str:
    """One line, e.g. `使用Agent: 海报大师`."""
    return LINES[kind].text(locale).replace("{note}", note or "").rstrip(" :")
