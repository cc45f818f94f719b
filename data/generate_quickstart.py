"""Write the quickstart corpus: invented Chinese sentences in the CLUENER layout, the same bytes in every run.

    python data/generate_quickstart.py            # writes data/quickstart/{train,dev,test}.json
    python data/generate_quickstart.py --report   # sizes, labels, share of unseen names

Names are put together from parts (surname + given name, place + kind of school, …). A share of the parts, of the whole
names and of the sentence templates is held back from train, so dev and test hold names and templates that train does
not. Some words are an entity in one sentence and none in another (a place in the name of a company, 高兴 as a word).
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

SEED = 20261124
SIZES = {"train": 800, "dev": 150, "test": 150}
LABELS = ("address", "book", "company", "name", "organization", "position")

SURNAMES = list("王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕") + ["欧阳", "司马", "上官", "诸葛"]
GIVEN = list("伟芳娜敏静强磊洋勇艳杰涛明超霞平刚华建文志鹏宇欣雨晨浩然子轩梓涵思远嘉怡若曦晓东海燕春梅国庆立群云飞兴安家和长青")
CITIES = "青川 临溪 望江 云州 石桥 南岭 白沙 东湖 柳城 金坪 清远 安宁 长垣 武丰 永和 宁海 平江 新河 丰台 海陵 乐山 文昌 富阳 兴化".split()
ROADS = "中山 解放 人民 建设 和平 滨江 学府 光明 朝阳 迎宾 梧桐 桃源".split()
STEMS = "华信 远大 天合 鼎盛 中科 博雅 恒通 蓝海 星辰 金石 瑞丰 智联 宏图 万象 长风 光谷 明德 百川 新桥 安达".split()
LATIN = "Nova Bluefin Orbit Tekno Zenit Lumen Quanta Helio".split()
TRADES = "科技 电子 医药 汽车 能源 传媒 物流 食品 软件 建筑 纺织 证券".split()
FORMS = "公司 集团 有限公司 股份".split()
BANKS = "银行 保险 证券".split()
SUBJECTS = "师范 理工 农业 医科 财经 外国语 交通".split()
BODIES = "教育局 公安局 卫生局 图书馆 博物馆 作家协会 足球协会 红十字会 文化馆 环保局".split()
TEAMS = "猛虎队 蓝鲸队 飞鹰队 雄狮队 山猫队 火箭手队".split()
POSITIONS = (
    "经理 总经理 董事长 校长 局长 记者 教练 主教练 工程师 主任 院长 秘书长 发言人 导演 编辑 会计 护士长 副总裁 "
    "首席执行官 研究员 教授 队长 店长 主席 律师 项目总监 财务主管 前锋"
).split()
BOOK_A = "沉默的 最后的 遥远的 没有名字的 蓝色的 消失的 第七个 夏天的 北方的 看不见的".split()
BOOK_B = "河流 车站 邮差 花园 城堡 冬天 证人 旅人 灯塔 果园 剧院 大雪".split()
BOOK_C = "云上集 山海记 旧城故事 长夜行 微积分入门 厨房里的化学 古镇手记 数据之美 一个人的村庄 麦田日记 飞鸟与鱼 读史札记".split()

# {label} is an entity of that label; {plain-…} is the same kind of word without being an entity.
TEMPLATES = [
    "{name}昨天从{address}出发，前往{address}参加会议。",
    "{company}{position}{name}表示，公司今年的收入将增长{number}%。",
    "据{organization}{position}{name}介绍，这项工作已经持续了{number}年。",
    "{name}毕业于{organization}，现在是{company}的{position}。",
    "记者从{organization}获悉，{address}将新建{number}所小学。",
    "{name}的新书{book}本周在{address}首发，到场读者超过{number}人。",
    "我最近在读{book}，作者{name}曾经当过{position}。",
    "{organization}昨晚在{address}以{number}比1战胜{organization}。",
    "{company}宣布在{address}设立分部，由{name}担任{position}。",
    "“我们不会放弃。”{position}{name}在{address}对记者说。",
    "{address}的冬天很冷，{name}却每天坚持跑步。",
    "{company}和{company}签署了合作协议，金额约{number}亿元。",
    "{name}、{name}和{name}三人获得了{organization}颁发的奖项。",
    "由{name}执导的电影改编自小说{book}，将于下月上映。",
    "{organization}的{position}认为，{book}适合初中生阅读。",
    "这家店在{address}开了{number}年，老板娘姓{surname}，大家都叫她{surname}姐。",
    "他高兴地说，明天会更好，希望大家平安。",
    "今年春天雨水多，海燕飞得很低，长青的松树也发了新芽。",
    "这本书讲的是建设和平社会的故事，一共{number}页。",
    "昨天的比赛推迟到下周{number}点，请大家互相转告。",
    "在{address}，{company}的{position}向居民道歉。",
    "{name}辞去{company}{position}一职，加入{company}。",
    "读完{book}，{name}决定报考{organization}。",
    "{organization}{position}{name}：{address}的空气质量明显改善。",
    "{address}居民{name}向{organization}捐赠了{number}本图书。",
    "我国的{trade}行业正在快速发展，{company}就是其中的代表。",
    "{company}（{address}）去年卖出{number}万台设备。",
    "{position}说，{name}和{name}是老同学，两人同在{organization}工作。",
    "从{address}到{address}的高铁今天开通，全程只要{number}分钟。",
    "周末去{organization}看展览，门口排了{number}米的长队。",
    "“{book}写得真好！”{name}在微博上写道。",
    "为什么{company}的股价跌了{number}%？{position}{name}没有回答。",
]
HELD_BACK_TEMPLATES = [
    "{name}曾任{organization}{position}，后来创办了{company}。",
    "{company}将总部从{address}迁到{address}，{position}{name}没有说明原因。",
    "{book}的译者{name}现居{address}。",
    "昨天，{organization}与{company}在{address}举行了签约仪式。",
    "{name}说，他最喜欢的书是{book}。",
    "{position}{name}带领{organization}连胜{number}场。",
    "有消息说{company}要收购{company}，{name}对此不予置评。",
    "天气转凉，{address}和{address}都下了雪，行人高兴地拍照。",
]


class Names:
    """Makes names by label; `fresh` names use held-back parts or are kept from train as a whole."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.parts: dict[str, tuple[list[str], list[str]]] = {}
        for key, values in (
            ("surname", SURNAMES), ("given", GIVEN), ("city", CITIES), ("road", ROADS), ("stem", STEMS), ("latin", LATIN),
            ("body", BODIES), ("team", TEAMS), ("subject", SUBJECTS), ("position", POSITIONS), ("a", BOOK_A),
            ("b", BOOK_B), ("c", BOOK_C), ("trade", TRADES),
        ):  # fmt: skip
            values = list(values)
            rng.shuffle(values)
            cut = max(1, len(values) // 5)
            self.parts[key] = (values[cut:], values)

    def part(self, key: str, fresh: bool) -> str:
        return self.rng.choice(self.parts[key][fresh])

    def make(self, label: str, fresh: bool) -> str:
        return getattr(self, label)(fresh)

    def name(self, fresh: bool) -> str:
        given = self.part("given", fresh) + (self.part("given", fresh) if self.rng.random() < 0.7 else "")
        return self.part("surname", fresh) + given

    def address(self, fresh: bool) -> str:
        city, kind = self.part("city", fresh), self.rng.random()
        if kind < 0.35:
            return city + self.rng.choice(["", "市", "县", "省"])
        if kind < 0.7:
            return city + "市" + self.part("road", fresh) + self.rng.choice(["路", "街", "大道"])
        return self.part("road", fresh) + self.rng.choice(["路", "广场", "小区", "桥", "公园"])

    def company(self, fresh: bool) -> str:
        kind = self.rng.random()
        if kind < 0.2:
            return self.part("latin", fresh) + self.rng.choice(["", "公司", self.part("trade", fresh)])
        if kind < 0.4:
            return self.part("city", fresh) + self.rng.choice(BANKS)
        head = self.part("city", fresh) if self.rng.random() < 0.3 else ""
        return head + self.part("stem", fresh) + self.part("trade", fresh) + self.rng.choice(["", *FORMS])

    def organization(self, fresh: bool) -> str:
        kind = self.rng.random()
        if kind < 0.35:
            return self.part("city", fresh) + self.rng.choice([self.part("subject", fresh), ""]) + "大学"
        if kind < 0.7:
            return self.part("city", fresh) + self.rng.choice(["市", "省"]) + self.part("body", fresh)
        return self.part("city", fresh) + self.part("team", fresh)

    def position(self, fresh: bool) -> str:
        return self.rng.choice(["", "", "", "副", "代理"]) + self.part("position", fresh)

    def book(self, fresh: bool) -> str:
        if self.rng.random() < 0.7:
            return f"《{self.part('a', fresh)}{self.part('b', fresh)}》"
        return f"《{self.part('c', fresh)}》"


def sentence(names: Names, template: str, fresh: float) -> dict[str, object]:
    """Fill a template; each slot gets a fresh name with the given probability."""
    rng = names.rng
    text, labels = "", {}
    rest = template
    while "{" in rest:
        before, _, rest = rest.partition("{")
        slot, _, rest = rest.partition("}")
        text += before
        if slot == "number":
            text += str(rng.choice([2, 3, 5, 8, 12, 30, 45, 120, 300, 2008]))
        elif slot == "surname":
            text += rng.choice(SURNAMES[:20])
        elif slot == "trade":
            text += rng.choice(TRADES)
        else:
            mention = names.make(slot, rng.random() < fresh)
            labels.setdefault(slot, {}).setdefault(mention, []).append([len(text), len(text) + len(mention) - 1])
            text += mention
    return {"text": text + rest, "label": labels}


def clean(item: dict[str, object]) -> bool:
    """Keep sentences in which every occurrence of a mention is annotated."""
    text, labels = str(item["text"]), item["label"]
    spans = [(s, e + 1) for mentions in labels.values() for found in mentions.values() for s, e in found]  # type: ignore[attr-defined]
    for mentions in labels.values():  # type: ignore[attr-defined]
        for mention in mentions:
            at = text.find(mention)
            while at >= 0:
                if not any(s <= at and at + len(mention) <= e for s, e in spans):
                    return False
                at = text.find(mention, at + 1)
    return True


def corpus() -> dict[str, list[dict[str, object]]]:
    """All splits; no text is in two of them."""
    rng = random.Random(SEED)
    names = Names(rng)
    seen: set[str] = set()
    result = {}
    for split, size in SIZES.items():
        templates = TEMPLATES if split == "train" else TEMPLATES + HELD_BACK_TEMPLATES * 2
        items: list[dict[str, object]] = []
        for number in range(20 * size):
            item = sentence(names, templates[number % len(templates)], 0.0 if split == "train" else 0.4)
            # A sentence without a slot is always the same: it may stand twice in train, never in two splits.
            if item["text"] not in seen and clean(item):
                seen.add(str(item["text"]))
                items.append(item)
            if len(items) == size:
                break
        rng.shuffle(items)
        result[split] = items
    return result


def mentions(items: list[dict[str, object]]) -> Iterator[tuple[str, str]]:
    """(label, mention) of every entity."""
    for item in items:
        for label, found in item["label"].items():  # type: ignore[attr-defined]
            for mention, spans in found.items():
                yield from [(label, mention)] * len(spans)


def report(splits: dict[str, list[dict[str, object]]]) -> str:
    """Sizes and shares, a line a split."""
    train = set(mentions(splits["train"]))
    lines = []
    for split, items in splits.items():
        found = list(mentions(items))
        empty = sum(not item["label"] for item in items)
        line = f"{split}: {len(items)} sentences ({empty} without an entity), {len(found)} entities"
        if split != "train":
            line += f", {sum(m not in train for m in found) / len(found):.0%} of them never seen in train"
        lines.append(line)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the files, or the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "quickstart")
    parser.add_argument("--report", action="store_true")
    arguments = parser.parse_args()
    splits = corpus()
    if arguments.report:
        sys.stdout.write(report(splits))
        return
    arguments.output.mkdir(parents=True, exist_ok=True)
    for split, items in splits.items():
        lines = [json.dumps(item, ensure_ascii=False) + "\n" for item in items]
        (arguments.output / f"{split}.json").write_text("".join(lines), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
