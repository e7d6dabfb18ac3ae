"""The phrases of the outline composer: language → kind of work → sections of (heading, sentences to choose from).

Every sentence may name the `{topic}`. The first section says what the work is, the last one what to do next, so an
outline of any length keeps both.
"""

from typing import Final

Section = tuple[str, tuple[str, ...]]

LABELS: Final = {
    "en": "_Outline composed by rules, without a language model._",
    "zh": "_本提纲由规则自动编排，未使用语言模型。_",
}

TITLES: Final = {"en": "Outline: {topic}", "zh": "提纲：{topic}"}

KINDS: Final = {
    "story": (
        ("story", "film", "novel", "script", "poem", "tale", "comic", "video", "song"),
        ("故事", "小说", "电影", "短片", "剧本", "诗", "童话", "漫画", "视频", "歌"),
    ),
    "plan": (
        ("plan", "launch", "campaign", "product", "business", "shop", "event", "project", "marketing"),
        ("计划", "方案", "策划", "产品", "商业", "活动", "项目", "营销", "推广", "店"),
    ),
}

_EN_STORY: Final[tuple[Section, ...]] = (
    (
        "Premise",
        (
            "At the centre stands “{topic}”. Name one person who wants something badly, and one thing in the way.",
            "Begin from “{topic}” and ask what would be lost if nothing changed: that loss is the premise.",
        ),
    ),
    (
        "Opening",
        (
            "Open on an ordinary moment with one detail that does not fit, so that a question hangs in the air.",
            "Show the place before the people: light, sound and weather tell the audience how to feel.",
        ),
    ),
    (
        "Turning point",
        (
            "Halfway, take away the easy answer. What the hero believed turns out to be only half of the truth.",
            "Force a choice between two good things; every scene before it should make that choice harder.",
        ),
    ),
    (
        "Climax",
        (
            "Bring all the threads into one room and let the quietest character act first.",
            "Let the hero win with what was learned on the way, never with what was known at the start.",
        ),
    ),
    (
        "Ending",
        (
            "Return to the first image with one thing changed, and stop a beat earlier than feels safe.",
            "Answer the question of the opening, and leave a smaller one for the way home.",
        ),
    ),
    (
        "Next steps",
        (
            "Write each scene on one card, read them aloud in order, and remove the card that nobody misses.",
            "Draft the middle scene first; if it works, the opening and the ending will follow from it.",
        ),
    ),
)

_EN_PLAN: Final[tuple[Section, ...]] = (
    (
        "Goal",
        (
            "In one sentence: what should be true when “{topic}” has succeeded, and how will anyone notice?",
            "Fix one number and one date for “{topic}”. Everything below serves that number or is left out.",
        ),
    ),
    (
        "People",
        (
            "Describe three real people who would gain from it, and one who would be in the way.",
            "List who decides, who works and who must be told; a plan fails where these are confused.",
        ),
    ),
    (
        "Approach",
        (
            "Start with the smallest version that someone would miss if it were gone, and show it in week one.",
            "Split the work into three stages: prove it is wanted, make it reliable, then make it known.",
        ),
    ),
    (
        "Time and cost",
        (
            "Write down the largest cost and halve the plan until it can be paid without luck.",
            "Keep a fifth of the time unplanned; it will be used, and nobody can say yet for what.",
        ),
    ),
    (
        "Risks",
        (
            "Name the two most likely ways to fail, with the earliest sign of each and who watches for it.",
            "Ask what would make us stop. Agree on it now, while stopping is still cheap.",
        ),
    ),
    (
        "Next steps",
        (
            "This week: talk to three people, build one rough sample, and write down what surprised you.",
            "Choose the single next action, give it one owner and one day, and review it when that day is over.",
        ),
    ),
)

_EN_ARTICLE: Final[tuple[Section, ...]] = (
    (
        "The point",
        (
            "What should a reader remember about “{topic}” a week later? Write that sentence first.",
            "State the claim about “{topic}” plainly, then say who would disagree and why they are not foolish.",
        ),
    ),
    (
        "Background",
        (
            "Give only the history that the argument needs: two dates, one name, one change.",
            "Explain the two terms that are most often misunderstood, each with an everyday example.",
        ),
    ),
    (
        "Evidence",
        (
            "Show one number, one case and one voice; together they carry more than ten opinions.",
            "Walk through a single example from start to end before drawing any conclusion from many.",
        ),
    ),
    (
        "The other side",
        (
            "Put the strongest objection in its best form, and answer it without changing the subject.",
            "Say where the claim stops being true. A stated limit makes the rest believable.",
        ),
    ),
    (
        "Conclusion",
        (
            "Come back to the first sentence and show what the reader can see now that was hidden before.",
            "End with a consequence, not a summary: what should anyone do differently tomorrow?",
        ),
    ),
    (
        "Next steps",
        (
            "Collect five sources, mark the one that disagrees with you, and read that one first.",
            "Write the first draft without stopping, then cut every paragraph that only repeats another.",
        ),
    ),
)

_ZH_STORY: Final[tuple[Section, ...]] = (
    (
        "立意",
        (
            "以“{topic}”为核心：先定下一个有强烈愿望的人物，再放一道他绕不过去的坎，故事由此发生。",
            "从“{topic}”出发，追问如果什么都不改变会失去什么，这份失去就是全篇的立意。",
        ),
    ),
    (
        "开端",
        (
            "用一个平常的瞬间开场，只留一处不合常理的细节，让观众心里悬起一个问题。",
            "先写地方，再写人物：光线、声音与天气，会先一步告诉读者应有的心情。",
        ),
    ),
    (
        "转折",
        (
            "行至中段，拿走最容易的答案：主人公一直相信的事，原来只对了一半。",
            "让人物在两件好事之间二选一，前面的每一场戏，都是为了让这个选择更难。",
        ),
    ),
    (
        "高潮",
        (
            "把所有线索收进同一个场景，让最沉默的人先行动，情绪在此一次释放。",
            "让主人公凭路上学到的东西取胜，而不是凭一开始就会的本事。",
        ),
    ),
    (
        "结尾",
        (
            "回到最初的画面，只改变一处，并且比“稳妥”的地方早一拍收住。",
            "回答开场的问题，再留一个更小的问题，让读者带回家慢慢想。",
        ),
    ),
    (
        "下一步",
        (
            "把每场戏写成一张卡片，按顺序朗读一遍，删掉那张没有人会想念的卡片。",
            "先写最中间的一场；它若成立，开头与结尾自然会从它生长出来。",
        ),
    ),
)

_ZH_PLAN: Final[tuple[Section, ...]] = (
    (
        "目标",
        (
            "用一句话写清：“{topic}”成功之时，什么事情会成为事实，别人凭什么看得出来。",
            "为“{topic}”定下一个数字和一个日期，其余安排都为它服务，否则一律舍去。",
        ),
    ),
    (
        "人群",
        (
            "描述三位真正会受益的人和一位可能反对的人，写到能叫出他们的名字为止。",
            "列出谁来决定、谁来执行、谁需要知情；计划往往败在这三者混在一起。",
        ),
    ),
    (
        "做法",
        (
            "从最小的、没有它就会有人惦记的版本做起，第一周就拿给真实的人看。",
            "分三步走：先证明有人需要，再做到稳定可靠，最后才让更多人知道。",
        ),
    ),
    (
        "时间与成本",
        (
            "写下最大的一笔开销，把计划一再减半，直到不靠运气也能负担得起。",
            "留出五分之一的时间不做安排；它一定会被用掉，只是现在还不知道用在哪里。",
        ),
    ),
    (
        "风险",
        (
            "写出最可能失败的两种方式、各自最早的征兆，以及由谁负责留意。",
            "先约定好什么情况下停下来，趁现在停下来的代价还很小。",
        ),
    ),
    (
        "下一步",
        (
            "本周之内：与三个人交谈，做出一个粗糙的样品，并记下最让你意外的一点。",
            "只选一件最先要做的事，交给一个人、定在一天，到期当场复盘。",
        ),
    ),
)

_ZH_ARTICLE: Final[tuple[Section, ...]] = (
    (
        "要点",
        (
            "关于“{topic}”，希望读者一周之后仍记得哪一句话？请先把这句话写下来。",
            "直接说出对“{topic}”的判断，再说明谁会不同意，以及他们为什么并非没有道理。",
        ),
    ),
    (
        "背景",
        (
            "只交代论证所需要的来龙去脉：两个时间、一个名字、一次变化，足够即止。",
            "解释两个最容易被误解的概念，并且各配一个日常生活里的例子。",
        ),
    ),
    (
        "依据",
        (
            "给出一个数字、一个案例和一种声音，三者合在一起胜过十种看法。",
            "先把一个例子从头到尾讲完整，再从许多例子里得出结论。",
        ),
    ),
    (
        "另一面",
        (
            "把最有力的反对意见用它最好的样子写出来，然后不转移话题地回答它。",
            "说明这个判断在哪里不再成立；写明边界，其余部分才更可信。",
        ),
    ),
    (
        "结论",
        (
            "回到第一句话，让读者看见此前没有看见的东西。",
            "以后果收尾而不是以摘要收尾：从明天起，什么事情应当换一种做法？",
        ),
    ),
    (
        "下一步",
        (
            "收集五份资料，标出与你意见相反的那一份，并且先读它。",
            "一口气写完初稿，再删去所有只是在重复别处的段落。",
        ),
    ),
)

SECTIONS: Final[dict[str, dict[str, tuple[Section, ...]]]] = {
    "en": {"story": _EN_STORY, "plan": _EN_PLAN, "article": _EN_ARTICLE},
    "zh": {"story": _ZH_STORY, "plan": _ZH_PLAN, "article": _ZH_ARTICLE},
}
