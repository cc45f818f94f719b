"""Write the quickstart corpus: invented Chinese sentences in the CLUENER layout, the same bytes in every run.

    python data/generate_quickstart.py            # writes data/quickstart/{train,dev,test}.json
    python data/generate_quickstart.py --report   # sizes, and how much of dev and test is new

Names are put together from parts by the patterns of KINDS, sentences from names by quickstart_templates.txt. Half of the
names in dev and test, and some of their templates, are never in train. Some words are an entity in one sentence and none
in another: a city that plays football is an organization, 松果 a company or a pine cone, 《…》 a book or a film.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

HERE = Path(__file__).parent
SEED = 20261124
SIZES = {"train": 900, "dev": 150, "test": 150}
SHORTEST, LONGEST = 15, 60

# How hard the corpus is. The score on dev falls with each of them.
UNSEEN_NAMES = 0.4  # share of the names in dev and test that train does not hold
UNSEEN_TEMPLATES = 0.25  # share of their sentences that are made by templates of their own
UNSEEN_PARTS = 0.07  # share of the parts (surnames, stems, …) that only names unseen in train are made of

PARTS = {
    "surname": list("王李张刘陈杨赵黄周吴徐孙胡朱林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈") + "欧阳 司马".split(),
    "given": list("伟芳娜敏静强磊勇艳杰涛霞刚华建文志鹏宇欣雨晨浩然子轩梓涵思嘉怡若曦燕春梅国庆立群云飞佳慧丽婷"),
    "foreign": "马克 托马斯 卢卡 米娅 艾丽 汉娜 奥托 埃里克 索菲 保罗 安娜 雨果".split(),
    "family": "奥尔森 贝克曼 林德曼 科瓦奇 莫雷蒂 哈维兰 佩雷拉 施泰因".split(),
    "land": list("青临望石白柳清永宁平南岚洛泉松鹿丰"),
    "water": list("川溪江州桥岭湖城坪原港陵"),
    "road": "梧桐 桃源 学府 滨河 光明 迎宾 文华 清泉 朝阳 胜利 银杏 红旗 中兴 长乐 育才 青年 环城 丰收".split(),
    "way": "路 街 大道 巷 路 街".split(),
    "site": "公园 广场 小区 体育馆 火车站 步行街 医院 菜市场 码头".split(),
    "side": "东湖 西山 南岸 北关 城东 高新 江北 柳湾 白塔 双桥".split(),
    "quarter": "区 镇 村 街道".split(),
    "stem1": list("澜禾锦拓恒瑞鼎盛启星宏卓德信博嘉"),
    "stem2": list("石程野泰源帆澈图越达航维诚通科元"),
    "word": "松果 青柠 银杏 石榴 山楂 海棠 核桃 荔枝 樱桃 葡萄".split(),
    "latinword": "Norvik Bluefin Zentra Quorin Lumio Tekora Havelo Ostrix Delvia Kestro Mirano Vantix".split(),
    "digits": "365 101 7天 88 24小时 3号 9点".split(),
    "trade": "科技 电子 医药 汽车 能源 传媒 物流 食品 软件 建筑 证券 影业 网络 教育".split(),
    "form": "公司 集团 有限公司 股份".split(),
    "money_house": "银行 商业银行 保险 信托 证券 农商行".split(),
    "subject": "师范 理工 农业 医科 财经 外国语 交通 海洋 工业 艺术".split(),
    "grade": "第一中学 第三中学 实验小学 外国语学校 职业技术学院 第二小学 附属中学".split(),
    "bureau": "教育局 公安局 卫生局 交通局 环保局 气象局 文化局 税务局 消防支队 市场监管局 图书馆 博物馆 法院".split(),
    "beast": "猛虎 蓝鲸 飞鹰 雄狮 山猫 火箭手 白狼 骑兵 海豚 雷霆兽 猎豹 水手".split(),
    "field": "作家 足球 篮球 书法 摄影 登山 红十字 环境保护 老年 消费者 戏剧 钢琴".split(),
    "union": "协会 联合会 基金会 促进会".split(),
    "rank": " 前 代理 副 联席".split(" "),
    "boss": "董事长 总经理 总裁 首席执行官 首席财务官 首席技术官 CEO CFO 市场总监 技术总监 财务总监 销售总监 区域经理 合伙人 执行董事".split(),
    "coach": "主教练 助理教练 队长 前锋 后卫 中锋 门将 守门员 领队 体能教练".split(),
    "official": "局长 处长 科长 主任 发言人 秘书长 会长 理事长 馆长 书记 所长".split(),
    "teacher": "讲师 系主任 班主任 博士生导师 辅导员 教研组长 特级教师".split(),
    "scholar": "校长 教授 院长 研究员".split(),
    "medic": "医生 护士 护士长 药剂师 主治医师 麻醉师".split(),
    "artist": "歌手 演员 导演 编剧 制片人 主持人 钢琴家 指挥家 作曲家 摄影师 舞蹈家".split(),
    "worker": "工程师 会计 律师 店长 程序员 设计师 厨师 客服主管 产品经理 项目经理 收银员 飞行员".split(),
    "which": "沉默的 最后的 遥远的 没有名字的 蓝色的 消失的 第七个 夏天的 北方的 看不见的 雨中的 十二个 归来的".split(),
    "thing": "河流 车站 邮差 花园 城堡 冬天 证人 旅人 灯塔 果园 剧院 大雪 钟表匠 海岸 房客 信使 雪山 月亮".split(),
    "topic": "微积分 咖啡 围棋 天文 植物 民国建筑 数据 丝绸 茶叶 概率 火车 厨房".split(),
    "kind_of_book": "入门 简史 十讲 之美 手记 漫谈 笔记".split(),
    "digit": list("2345678"),
    "tens": list("123456789"),
    "spelt": "三 五 八 十 十二 二十".split(),
    "month": "1 3 4 5 6 8 9 10 11 12".split(),
    "law": "城市绿化条例 食品安全管理办法 道路交通管理规定 物业服务条例 垃圾分类办法".split(),
}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """Names of one kind: their label, how many there are, and patterns, blank between, to choose from."""

    label: str
    size: int
    patterns: str


KINDS = {
    "person": Kind("name", 420, "{surname}{given}{given} " * 6 + "{surname}{given} " * 4 + "{foreign}·{family}"),
    "city": Kind("address", 250, "{land}{water} {land}{water} {land}{water}市 {land}{water}县 {land}{water}省"),
    "place": Kind(
        "address",
        300,
        "{road}{way} {road}{way} {road}{way}{tens}{digit}号 {land}{water}市{road}{way} {road}{site} {side}{site} "
        "{side}{quarter} {land}{water}{site} {side}{quarter}{road}{way}",
    ),
    "firm": Kind(
        "company",
        400,
        "{stem1}{stem2}{trade} {stem1}{stem2}{trade} {stem1}{stem2}{trade}{form} {stem1}{stem2}{form} {word}{trade} "
        "{land}{water}{stem1}{stem2}{trade}{form} {land}{water}{trade}{form} {latinword}{trade} {digits}{trade}",
    ),
    "shortfirm": Kind("company", 120, "{stem1}{stem2} {stem1}{stem2} {word} {word}"),
    "latin": Kind("company", 14, "{latinword} {latinword} {latinword}公司"),
    "bank": Kind("company", 50, "{land}{water}{money_house} {stem1}{stem2}{money_house}"),
    "school": Kind(
        "organization", 150, "{land}{water}大学 {land}{water}{subject}大学 {land}{water}{subject}学院 {land}{water}市{grade}"
    ),
    "agency": Kind("organization", 160, "{land}{water}市{bureau} {land}{water}县{bureau} {side}区{bureau} {land}{water}省{bureau}"),
    "team": Kind("organization", 150, "{land}{water}{beast}队 {land}{water}{beast} {land}{water}{stem1}{stem2}队 {beast}队"),
    "cityteam": Kind("organization", 100, "{land}{water} {land}{water} {land}{water}队"),
    "club": Kind("organization", 120, "{land}{water}市{field}{union} {stem1}{stem2}{union} {field}{union} {land}{water}省{field}{union}"),
    "boss": Kind("position", 40, "{boss} {rank}{boss}"),
    "coach": Kind("position", 15, "{coach} {coach} 前{coach}"),
    "official": Kind("position", 20, "{official} 副{official} 代理{official}"),
    "teacher": Kind("position", 15, "{teacher} {teacher} {scholar} 副{scholar} 客座{scholar}"),
    "artist": Kind("position", 14, "{artist} 青年{artist}"),
    "medic": Kind("position", 8, "{medic} {medic} 值班{medic}"),
    "worker": Kind("position", 26, "{worker} {worker} 高级{worker} 实习{worker}"),
    "book": Kind("book", 220, "《{which}{thing}》 《{which}{thing}》 《{thing}与{thing}》 《{topic}{kind_of_book}》 《{land}{water}往事》"),
}  # fmt: skip

# Words that are no entity, by the same parts; `movie` and `plain` look like entities.
FILLERS = {
    "number": "{tens}{digit} {tens}{digit}0 {tens}00 {tens}{digit}{tens}",
    "digit": "{digit}",
    "year": "201{digit} 202{digit}",
    "month": "{month}",
    "percent": "{tens}% {tens}.{digit}% 1{digit}% 百分之{spelt}",
    "minutes": "1{digit} 2{digit} 4{digit}",
    "rate": "{digit}.{tens}% {digit}%",
    "degrees": "1{digit} 2{digit} 3{digit}",
    "money": "{tens}.{digit}亿元 1{digit}亿元 {tens}00万元 {tens}{digit}万美元",
    "score": "{digit}比1 9{digit}比8{tens} 3:0 2-1",
    "product": "{latinword}{digit} {latinword}-{tens}0 {word}{digit}",
    "movie": "《{which}{thing}》 《{thing}与{thing}》 《{land}{water}往事》",
    "document": "《{law}》 《{land}{water}市{law}》",
    "plain": "{word}",
    "dish": "红烧肉 酸菜鱼 番茄炒蛋 麻婆豆腐 葱油饼",
    "relative": "妈妈 爸爸 奶奶 外婆 邻居 弟弟 表姐 舅舅",
}

# In place of a ~ at the front or the end; the last of each are kept from train.
LEADS = "昨天， 日前， 据悉， 本周五， 今天上午， {month}月{digit}日， {year}年{month}月， 有媒体报道， 周二晚间， 截至{month}月底，".split()
TAILS = "。 。 。 。 ，网友议论纷纷。 ，这让很多人没有想到。 ，当地媒体作了报道。 ，谁也没有料到。 ，消息很快传开了！ ，大家拭目以待。".split()
UNSEEN_ENDS = 2

REAL = (
    "长沙 洛阳 南阳 安阳 永州 长城 南沙 金山 梅州 东阳 海城 丰城 平阳 新河 东港 海州 平江".split()
)  # places that exist

TWICE = re.compile(r"(..)与\1")
SLOT = re.compile(r"\{(\w+)(?:=(\w))?\}")


class Dice:
    """A seeded source of choices; of `random.Random` only `random()` is promised to stay the same for ever."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def chance(self, share: float) -> bool:
        return self._random.random() < share

    def pick(self, values: Sequence[T]) -> T:
        return values[int(self._random.random() * len(values))]

    def shuffled(self, values: Sequence[T]) -> list[T]:
        return [value for _, _, value in sorted((self._random.random(), n, value) for n, value in enumerate(values))]


@dataclass(frozen=True)
class Sentence:
    """A text, its entities as (start, inclusive end, label), and whether its template is one of train's."""

    text: str
    entities: tuple[tuple[int, int, str], ...]
    known_template: bool

    def mentions(self) -> list[tuple[str, str]]:
        """(label, mention) of every entity."""
        return [(label, self.text[start : end + 1]) for start, end, label in self.entities]

    def cluener(self) -> str:
        """Its line in the CLUENER layout."""
        labels: dict[str, dict[str, list[list[int]]]] = {}
        for start, end, label in self.entities:
            labels.setdefault(label, {}).setdefault(self.text[start : end + 1], []).append([start, end])
        return json.dumps({"text": self.text, "label": labels}, ensure_ascii=False) + "\n"


def fill(pattern: str, part: Callable[[str], str]) -> str:
    """Put a part in place of every {slot}."""
    return SLOT.sub(lambda match: part(match[1]), pattern)


def templates() -> dict[str, list[str]]:
    """The templates by the split that they are written for."""
    sections: dict[str, list[str]] = {}
    for line in (HERE / "quickstart_templates.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            section.append(line)
    return sections


class Names:
    """The names of every kind: those for train, and those kept from it."""

    def __init__(self, dice: Dice, literal: str) -> None:
        self.dice = dice
        self.parts: dict[str, tuple[list[str], list[str]]] = {}
        for key, values in PARTS.items():
            shuffled = dice.shuffled(values)
            self.parts[key] = (shuffled[: len(values) - int(UNSEEN_PARTS * len(values))], shuffled)
        self.known: dict[str, list[str]] = {}
        self.fresh: dict[str, list[str]] = {}
        taken: dict[str, set[str]] = {}
        for name, kind in KINDS.items():
            own = taken.setdefault(kind.label, set())
            self.known[name] = self._make(kind, kind.size, own, literal, fresh=False)
            self.fresh[name] = self._make(kind, kind.size // 2, own, literal, fresh=True)

    def part(self, key: str, *, fresh: bool) -> str:
        return self.dice.pick(self.parts[key][fresh])

    def filler(self, key: str, *, fresh: bool) -> str:
        pattern = self.dice.pick(FILLERS[key].split())
        return fill(pattern, lambda part: self.part(part, fresh=fresh))

    def forget_unused(self, held: set[tuple[str, str]]) -> None:
        """Keep as known only the names that train really holds."""
        for kind, made in self.known.items():
            self.known[kind] = [name for name in made if (KINDS[kind].label, name) in held] or made

    def _make(self, kind: Kind, size: int, taken: set[str], literal: str, *, fresh: bool) -> list[str]:
        """Up to `size` new names; none of a real place, none that the templates use as an ordinary word."""
        made: list[str] = []
        for _ in range(20 * size):
            name = fill(self.dice.pick(kind.patterns.split()), lambda part: self.part(part, fresh=fresh))
            plain = name in literal or any(real in name for real in REAL)
            if name not in taken and not plain and not TWICE.search(name) and len(made) < size:
                taken.add(name)
                made.append(name)
        if not made:
            raise ValueError(f"KINDS: no names left for {kind.patterns!r}; give more parts or a smaller size")
        return made


class Writer:
    """Fills templates; for dev and test with a share of the names that are kept from train."""

    def __init__(self, names: Names, split: str) -> None:
        self.names, self.dice, self.split = names, names.dice, split
        self.own = split == "train"

    def name(self, kind: str) -> str:
        fresh = not self.own and self.dice.chance(UNSEEN_NAMES)
        return self.dice.pick((self.names.fresh if fresh else self.names.known)[kind])

    def sentence(self, template: str, *, known_template: bool) -> Sentence | None:
        """A sentence of the template, None where it turned out unfit."""
        cut = -UNSEEN_ENDS if self.own else None
        front = self.dice.pick(LEADS[:cut]) if template.startswith("~") and self.dice.chance(0.6) else ""
        back = self.dice.pick(TAILS[:cut]) if template.endswith("~") else ""
        pieces = SLOT.split(front + template.strip("~") + back)
        text, entities, given = "", [], dict[tuple[str, str], str]()
        for literal, slot, mark in zip(pieces[::3], [*pieces[1::3], ""], [*pieces[2::3], None], strict=True):
            text += literal
            if slot in FILLERS:
                text += self.names.filler(slot, fresh=not self.own)
            elif slot:
                again = mark is not None and (slot, mark) in given
                name = given[slot, mark] if again else self.name(slot)
                if not again and name in given.values():
                    return None
                given[slot, mark or str(len(given))] = name
                entities.append((len(text), len(text) + len(name) - 1, KINDS[slot].label))
                text += name
        sentence = Sentence(text, tuple(entities), known_template)
        return sentence if SHORTEST <= len(text) <= LONGEST and complete(sentence) else None


def complete(sentence: Sentence) -> bool:
    """Say whether every occurrence of a mention is annotated, or lies inside a longer one."""
    for _, mention in sentence.mentions():
        at = sentence.text.find(mention)
        while at >= 0:
            if not any(start <= at and at + len(mention) - 1 <= end for start, end, _ in sentence.entities):
                return False
            at = sentence.text.find(mention, at + 1)
    return True


def corpus() -> dict[str, list[Sentence]]:
    """All splits; no text is in two of them, and none twice in one."""
    sections = templates()
    literal = "\n".join(SLOT.sub("\n", line) for lines in [*sections.values(), LEADS, TAILS] for line in lines)
    dice = Dice(SEED)
    names = Names(dice, literal)
    texts: set[str] = set()
    splits: dict[str, list[Sentence]] = {}
    for split, size in SIZES.items():
        writer = Writer(names, split)
        queues = {True: dice.shuffled(sections["train"]), False: dice.shuffled(sections[split])}
        made: list[Sentence] = []
        for turn in count():
            if len(made) == size:
                break
            known = split == "train" or len(made) >= round(UNSEEN_TEMPLATES * size)
            queue = queues[known]
            sentence = writer.sentence(queue[turn % len(queue)], known_template=known)
            if sentence is not None and sentence.text not in texts:
                texts.add(sentence.text)
                made.append(sentence)
        splits[split] = dice.shuffled(made)
        if split == "train":
            names.forget_unused({mention for sentence in made for mention in sentence.mentions()})
    return splits


def report(splits: dict[str, list[Sentence]]) -> str:
    """Sizes of all splits, and what of dev and test is new: a table in Markdown."""
    known = {mention for sentence in splits["train"] for mention in sentence.mentions()}
    characters = {char for sentence in splits["train"] for char in sentence.text}
    rows: dict[str, list[str]] = {}

    def row(what: str, value: str) -> None:
        rows.setdefault(what, []).append(value)

    for sentences in splits.values():
        mentions = [mention for sentence in sentences for mention in sentence.mentions()]
        unseen = [mention for mention in mentions if mention not in known]
        row("sentences", str(len(sentences)))
        row("without an entity", str(sum(not sentence.entities for sentence in sentences)))
        row(
            "characters in a sentence, mean",
            f"{sum(len(sentence.text) for sentence in sentences) / len(sentences):.1f}",
        )
        row("entities", str(len(mentions)))
        row(
            "by templates not in train",
            share(sum(not sentence.known_template for sentence in sentences), len(sentences)),
        )
        row("entities not in train", share(len(unseen), len(mentions)))
        for label in sorted({kind.label for kind in KINDS.values()}):
            of_label = [mention for mention in mentions if mention[0] == label]
            row(f"{label}: entities", str(len(of_label)))
            row(f"{label}: not in train", share(sum(mention not in known for mention in of_label), len(of_label)))
        new = {char for sentence in sentences for char in sentence.text} - characters
        row("characters not in train", str(len(new)))
    lines = [f"| | {' | '.join(splits)} |", "|---|" + "---:|" * len(splits)]
    return "\n".join([*lines, *(f"| {what} | {' | '.join(values)} |" for what, values in rows.items())]) + "\n"


def share(part: int, whole: int) -> str:
    """A share in per cent."""
    return f"{part / whole:.0%}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the files, or the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=HERE / "quickstart", help="folder to write to")
    parser.add_argument("--report", action="store_true", help="write no file, but say what would be in them")
    given = parser.parse_args(arguments)
    splits = corpus()
    if given.report:
        sys.stdout.write(report(splits))
        return
    given.output.mkdir(parents=True, exist_ok=True)
    for split, sentences in splits.items():
        lines = "".join(sentence.cluener() for sentence in sentences)
        (given.output / f"{split}.json").write_bytes(lines.encode())


if __name__ == "__main__":
    main()
