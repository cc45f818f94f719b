"""The common parts of the corpus generators: a random source, parts and patterns of invented names, building the splits.

Nothing here is taken from a corpus. Everything is drawn from one seeded source, so that every run writes the same bytes.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")

HERE = Path(__file__).parent
SIZES = {"train": 900, "dev": 150, "test": 150}

# The difficulty of a corpus. A larger value lowers the score on dev.
UNSEEN_NAMES = 0.4  # the share of the names in dev and test that do not occur in train
UNSEEN_TEMPLATES = 0.25  # the share of their sentences that are made from separate templates
UNSEEN_PARTS = 0.07  # the share of the parts (surnames, stems, …) that occur only in names unseen in train
UNSEEN_ENDS = 2  # the number of last phrases for the beginning and the end of a sentence that do not occur in train

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

# Patterns of names, separated by spaces, for the kinds of names that several corpora contain.
PATTERNS = {
    "person": "{surname}{given}{given} " * 6 + "{surname}{given} " * 4 + "{foreign}·{family}",
    "place": "{road}{way} {road}{way} {road}{way}{tens}{digit}号 {land}{water}市{road}{way} {road}{site} {side}{site} "
    "{side}{quarter} {land}{water}{site} {side}{quarter}{road}{way}",
    "firm": "{stem1}{stem2}{trade} {stem1}{stem2}{trade} {stem1}{stem2}{trade}{form} {stem1}{stem2}{form} {word}{trade} "
    "{land}{water}{stem1}{stem2}{trade}{form} {land}{water}{trade}{form} {latinword}{trade} {digits}{trade}",
    "shortfirm": "{stem1}{stem2} {stem1}{stem2} {word} {word}",
    "bank": "{land}{water}{money_house} {stem1}{stem2}{money_house}",
}

REAL = "长沙 洛阳 南阳 安阳 永州 长城 南沙 金山 梅州 东阳 海城 丰城 平阳 新河 东港 海州 平江".split()  # real places

TWICE = re.compile(r"(..)与\1|(\w+) and (?:the )?\2")
SLOT = re.compile(r"\{(\w+)(?:=(\w)(?::(\w))?)?\}")


@dataclass(frozen=True)
class Kind:
    """Names of one kind: their label, their number, and their patterns, separated by spaces."""

    label: str
    size: int
    patterns: str


@dataclass(frozen=True)
class Words:
    """The material of a corpus: kinds of names, words that are not names, and replacements of a ~ at the beginning or the end.

    Attributes:
        between: what separates the patterns of a kind, whose names may contain spaces; None: a space.
    """

    kinds: dict[str, Kind]
    fillers: dict[str, str]
    leads: list[str]
    tails: list[str]
    parts: dict[str, list[str]] = field(default_factory=lambda: PARTS)
    real: list[str] = field(default_factory=lambda: REAL)
    unseen_names: float = UNSEEN_NAMES
    between: str | None = None


class Dice:
    """A seeded source of choices; of `random.Random`, only `random()` is guaranteed never to change."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def chance(self, share: float) -> bool:
        return self._random.random() < share

    def pick(self, values: Sequence[T]) -> T:
        return values[int(self._random.random() * len(values))]

    def shuffled(self, values: Sequence[T]) -> list[T]:
        return [value for _, _, value in sorted((self._random.random(), n, value) for n, value in enumerate(values))]


def fill(pattern: str, part: Callable[[str], str]) -> str:
    """Replace every {slot} with a part."""
    return SLOT.sub(lambda match: part(match[1]), pattern)


def read_templates(path: Path) -> dict[str, list[str]]:
    """Return the templates of a file by their split."""
    sections: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            section.append(line)
    return sections


class Names:
    """Return the names of every kind: those for train, and those that do not occur in it."""

    def __init__(self, dice: Dice, words: Words, literal: str) -> None:
        self.dice, self.words = dice, words
        self.parts: dict[str, tuple[list[str], list[str]]] = {}
        for key, values in words.parts.items():
            shuffled = dice.shuffled(values)
            self.parts[key] = (shuffled[: len(values) - int(UNSEEN_PARTS * len(values))], shuffled)
        self.known: dict[str, list[str]] = {}
        self.fresh: dict[str, list[str]] = {}
        taken: dict[str, set[str]] = {}
        for name, kind in words.kinds.items():
            own = taken.setdefault(kind.label, set())
            self.known[name] = self._make(kind, kind.size, own, literal, fresh=False)
            self.fresh[name] = self._make(kind, kind.size // 2, own, literal, fresh=True)

    def part(self, key: str, *, fresh: bool) -> str:
        return self.dice.pick(self.parts[key][fresh])

    def filler(self, key: str, *, fresh: bool) -> str:
        return self.filled(self.words.fillers[key], fresh=fresh)

    def filled(self, patterns: str, *, fresh: bool) -> str:
        """Return one of the patterns with its parts."""
        return fill(self.dice.pick(patterns.split(self.words.between)), lambda part: self.part(part, fresh=fresh))

    def forget_unused(self, held: set[tuple[str, str]]) -> None:
        """Keep as known only the names that actually occur in train."""
        for kind, made in self.known.items():
            self.known[kind] = [name for name in made if (self.words.kinds[kind].label, name) in held] or made

    def _make(self, kind: Kind, size: int, taken: set[str], literal: str, *, fresh: bool) -> list[str]:
        """Return up to `size` new names; none of a real place, none that the templates use as an ordinary word."""
        made: list[str] = []
        for _ in range(20 * size):
            name = self.filled(kind.patterns, fresh=fresh)
            plain = name in literal or any(real in name for real in self.words.real)
            if name not in taken and not plain and not TWICE.search(name) and len(made) < size:
                taken.add(name)
                made.append(name)
        if not made:
            raise ValueError(f"KINDS: no names left for {kind.patterns!r}; add parts or reduce the size")
        return made


class Made(Protocol):
    """An item of a corpus."""

    @property
    def text(self) -> str: ...

    def mentions(self) -> list[tuple[str, str]]:
        """Return (label, mention) of every name."""


S = TypeVar("S", bound=Made)


class Writer(ABC, Generic[S]):
    """Fills templates; for dev and test, with a share of names that do not occur in train."""

    def __init__(self, names: Names, split: str) -> None:
        self.names, self.dice, self.words = names, names.dice, names.words
        self.own = split == "train"

    @abstractmethod
    def sentence(self, template: str, *, known_template: bool) -> S | None:
        """Return a sentence of the template, or None if it is unsuitable."""

    def fresh(self) -> bool:
        """Say whether the next name is to be one that does not occur in train."""
        return not self.own and self.dice.chance(self.words.unseen_names)

    def name(self, kind: str) -> str:
        return self.dice.pick((self.names.fresh if self.fresh() else self.names.known)[kind])

    def pieces(self, template: str) -> Iterator[tuple[str, str, str | None, str | None]]:
        """Return (text before, slot, its mark, the mark after a colon) of each slot; the last slot is empty."""
        cut = -UNSEEN_ENDS if self.own else None
        front = self.dice.pick(self.words.leads[:cut]) if template.startswith("~") and self.dice.chance(0.6) else ""
        back = self.dice.pick(self.words.tails[:cut]) if template.endswith("~") else ""
        pieces = [*SLOT.split(front + template.strip("~") + back), "", None, None]
        yield from zip(*(pieces[n::4] for n in range(4)), strict=True)


def build(templates: Path, words: Words, writer: type[Writer[S]], seed: int) -> dict[str, list[S]]:
    """Return all splits; no text is in two of them, or twice in one."""
    sections = read_templates(templates)
    lines = [line.partition(" | ")[0] for section in sections.values() for line in section]
    dice = Dice(seed)
    names = Names(dice, words, "\n".join(SLOT.sub("\n", line) for line in [*lines, *words.leads, *words.tails]))
    texts: set[str] = set()
    splits: dict[str, list[S]] = {}
    for split, size in SIZES.items():
        write = writer(names, split)
        queues = {True: dice.shuffled(sections["train"]), False: dice.shuffled(sections[split])}
        made: list[S] = []
        for turn in count():
            if len(made) == size:
                break
            known = split == "train" or len(made) >= round(UNSEEN_TEMPLATES * size)
            queue = queues[known]
            sentence = write.sentence(queue[turn % len(queue)], known_template=known)
            if sentence is not None and sentence.text not in texts:
                texts.add(sentence.text)
                made.append(sentence)
        splits[split] = dice.shuffled(made)
        if split == "train":
            names.forget_unused({mention for sentence in made for mention in sentence.mentions()})
    return splits


def share(part: int, whole: int) -> str:
    """Format a share in percent."""
    return f"{part / whole:.0%}"


def table(columns: dict[str, dict[str, str]]) -> str:
    """A table in Markdown: of each column its cells by the names of the rows."""
    lines = [f"| | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    for what in next(iter(columns.values())):
        lines.append(f"| {what} | {' | '.join(cells[what] for cells in columns.values())} |")
    return "\n".join(lines) + "\n"


def run(description: str, output: Path, report: Callable[[], str], files: Callable[[], dict[str, str]]) -> None:
    """Run the command of a generator: write the files or the report."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=output, help="directory to write to")
    parser.add_argument("--report", action="store_true", help="write no files, but print what would be in them")
    given = parser.parse_args()
    if given.report:
        sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
        sys.stdout.write(report())
        return
    given.output.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (given.output / name).write_bytes(text.encode())
