"""Plausible words of a marketplace in Chinese and English, used as often as words are: the n-th about 1/n as often."""

import random
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

_CHINESE = """
设计 海报 文案 视频 图片 生成 智能 写作 音乐 营销 翻译 插画 头像 封面 短视频 剪辑 配音 提纲 论文 简历 小红书
电商 产品 广告 品牌 标题 摘要 故事 小说 剧本 诗歌 绘画 动漫 国风 水墨 写真 证件照 修图 抠图 壁纸 表情包 节日
婚礼 旅行 美食 健身 教育 课程 作业 考试 英语 口语 面试 招聘 合同 法律 财务 报表 数据 分析 代码 编程 测试 文档
会议 纪要 邮件 客服 直播 脚本 选题 爆款 种草 公众号 朋友圈 知乎 抖音 快手 人工智能 机器学习 语音 播客 背景音乐
片头 动画 特效 三维 建模 室内 建筑 服装 珠宝 包装 印刷 名片 传单 易拉宝 邀请函 贺卡 日历 手账 涂鸦 像素
赛博朋克 极简 复古 手绘 扁平 渐变 光影 质感 场景 角色 怪兽 萌宠 猫咪 星空 山水 江南 城市 夜景 未来 科幻 武侠
言情 悬疑 童话 儿歌 古诗 对联 灯谜 祝福 演讲 主持 策划 方案 汇报
"""
_ENGLISH = """
ai design poster writer video image music maker generator studio art logo brand story script voice photo
portrait cover caption translate summary email resume essay outline marketing ad copy social post blog seo
product review code test data chart report meeting notes lesson quiz course study language english chinese
chat support sales legal tax finance travel food fitness health fashion interior floor plan sketch comic anime
manga avatar icon sticker wallpaper pattern texture scene character pixel retro minimal neon vintage
watercolor oil paint cinematic trailer clip short reel podcast speech narration sound loop beat lofi ambient
piano lyrics song karaoke subtitle animation render model prompt agent helper pro lite plus fast smart magic
dream cloud spark pixel craft flow lab works express daily simple
"""
LETTERS = (
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就"
    "分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经"
)
_SYLLABLES = "ba be co da di en fi ga ho in ka lo ma mi na no or pa ra re sa se ta ti un va vi wo xe zu"
CHINESE, ENGLISH, SYLLABLES = _CHINESE.split(), _ENGLISH.split(), _SYLLABLES.split()
MADE = 4_000
ENDS = ("助手", "工坊", "大师", "专家", "生成器", "小站", "精灵", "实验室", "")
BREAKS = ("，", "，", "、", "。", " ")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words with their chances."""

    words: Sequence[str]
    steps: Sequence[float]

    def some(self, chance: random.Random, count: int) -> list[str]:
        """So many words, by their chances."""
        return [self.words[bisect(self.steps, chance.random() * self.steps[-1])] for _ in range(count)]


def vocabulary(real: Sequence[str], made: Sequence[str], *, seed: int) -> Vocabulary:
    """The real words, shuffled, are the most frequent; the made ones follow."""
    words = list(dict.fromkeys(real))
    random.Random(seed).shuffle(words)
    words = list(dict.fromkeys([*words, *made]))
    return Vocabulary(words, list(accumulate(1 / (rank + 1) for rank in range(len(words)))))


class Language:
    """Texts in both languages, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        letters = "".join(dict.fromkeys(LETTERS + "".join(CHINESE)))
        chinese = ["".join(chance.choices(letters, k=chance.choice((2, 2, 2, 3, 4)))) for _ in range(MADE)]
        english = ["".join(chance.choices(SYLLABLES, k=chance.choice((2, 2, 3, 4)))) for _ in range(MADE)]
        self.chinese = vocabulary(CHINESE, chinese, seed=seed)
        self.english = vocabulary(ENGLISH, english, seed=seed)
        self.tags = vocabulary([*CHINESE, *ENGLISH], [*chinese[:400], *english[:200]], seed=seed + 1)

    def name(self, chance: random.Random) -> str:
        """Of an agent: two thirds Chinese, some of them with an English word."""
        if chance.random() < 1 / 3:
            return " ".join(self.english.some(chance, chance.randint(1, 4))).title()
        words = "".join(self.chinese.some(chance, chance.randint(1, 3))) + chance.choice(ENDS)
        return f"{self.english.some(chance, 1)[0].upper()} {words}" if chance.random() < 0.3 else words

    def description(self, chance: random.Random) -> str:
        """One to three sentences."""
        if chance.random() < 1 / 3:
            return " ".join(self.english.some(chance, chance.randint(10, 35))).capitalize() + "."
        words = self.chinese.some(chance, chance.randint(12, 40))
        return "".join(word + (chance.choice(BREAKS) if chance.random() < 0.3 else "") for word in words) + "。"

    def asked(self, chance: random.Random) -> str:
        """What somebody types: one word mostly, two or three at times, a beginning or one letter now and then."""
        words = self.chinese if chance.random() < 2 / 3 else self.english
        typed = words.some(chance, chance.choices((1, 2, 3), weights=(6, 3, 1))[0])
        if chance.random() < 0.1:
            typed[-1] = typed[-1][: chance.randint(1, 3)]
        if chance.random() < 0.1:
            typed.append(self.english.some(chance, 1)[0])
        return (" " if words is self.english or chance.random() < 0.5 else "").join(typed)
