"""What a prompt asks to see: the scene and the palette that its words call for, in Chinese and English."""

import re
from typing import Final

from atelier.providers.art.field import Generator
from atelier.providers.schemas import PALETTES, SCENES

_SCENE_WORDS: Final = {
    "ridges": "mountain mountains hill hills valley forest wood woods pine hiking camp autumn landscape nature "
    "山水 山 峰 林 森 谷 秋 野 徒步 风景 自然 雪",
    "sea": "sea ocean beach lake river boat sail harbour harbor island coast wave waves lighthouse summer swim ship "
    "海 湖 江 河 船 帆 岛 浪 港 灯塔 夏 水 渔",
    "skyline": "city town street urban skyline building tower night neon rain office bank jazz club tokyo shanghai "
    "城 市 街 楼 夜 雨 都 上海 北京 霓虹 爵士 酒吧",
    "silk": "music sound dream silk fabric fashion abstract fluid wind perfume dance emotion album elegant cloth "
    "音乐 梦 丝 绸 布 时尚 抽象 流 香 舞 情 专辑",
    "orbits": "space planet star stars galaxy moon universe science future rocket robot cosmos astronomy technology "
    "太空 宇宙 星 月 行星 银河 未来 火箭 科 技 航天 机器",
    "bloom": "flower flowers garden spring rose floral wedding love tea bakery birthday mother plant blossom festival "
    "花 园 春 玫瑰 婚 爱 茶 面包 生日 母亲 植物 节",
}

_PALETTE_WORDS: Final = {
    "dusk": "dusk sunset evening romance 黄昏 傍晚 日落 晚霞 浪漫",
    "aurora": "aurora forest green night fresh tech 极光 夜空 清新 科技",
    "paper": "paper print book quiet zen reading library 纸 书 安静 读 图书",
    "ember": "fire ember hot autumn jazz passion coffee 火 秋 热 爵士 激情 咖啡 红日",
    "sea": "sea ocean blue water ice winter rain 海 蓝 水 冰 冬 雨 雪",
    "mono": "black white mono minimal noir film 黑 白 极简 电影",
    "spring": "spring garden tea fresh plant green 春 茶 园 绿 植物",
    "candy": "candy party neon birthday pop game kids children 糖 派对 霓虹 生日 游戏 儿童 孩子",
    "ink": "ink china chinese brush calligraphy poem zen 水墨 墨 国风 中国 书法 诗 山水 古",
    "desert": "desert sand earth bakery bread warm africa clay 沙 土 面包 暖 陶",
}


def scene_for(prompt: str, rng: Generator) -> str:
    """Return the scene that the prompt's words name most often, or any when they name none."""
    return _best(prompt, _SCENE_WORDS) or str(rng.choice(SCENES))


def palette_for(prompt: str, rng: Generator) -> str:
    """Return the palette that the prompt's words name most often, or any when they name none."""
    return _best(prompt, _PALETTE_WORDS) or str(rng.choice(PALETTES))


def _best(prompt: str, words: dict[str, str]) -> str:
    said = re.findall(r"[a-z]+", prompt.lower())
    scores = {
        name: sum(said.count(word) if word.isascii() else prompt.count(word) for word in known.split())
        for name, known in words.items()
    }
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] else ""
