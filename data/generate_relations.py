"""Write the relation corpus: invented Chinese sentences in the layout of DuIE 2, the same bytes in every run.

    python data/generate_relations.py            # writes data/relations/{train,dev,test,schema}.json
    python data/generate_relations.py --report   # sizes, and how much of dev and test is new

Sentences and their triples are generated from relations_templates.txt, names from the patterns of KINDS. A quarter of the names
in dev and test, and of their templates, does not occur in train. The words between names determine
which names belong together: the nearest often do not, one person may be founder and chairman, a former chairman is not a chairman.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import combinations

from names import HERE, PARTS, PATTERNS, REAL, Kind, Words, Writer, build, run, share, table

SEED = 20261125
SHORTEST, LONGEST = 15, 70
UNSEEN_NAMES = 0.25  # fewer than the default of names.py: a triple needs two or more names

# Subject type, predicate, and the types of the object and its slots.
SCHEMA = {
    "创始人": ("企业", {"@value": "人物"}),
    "董事长": ("企业", {"@value": "人物"}),
    "总部地点": ("企业", {"@value": "地点"}),
    "成立日期": ("企业", {"@value": "Date"}),
    "作者": ("图书作品", {"@value": "人物"}),
    "导演": ("影视作品", {"@value": "人物"}),
    "主演": ("影视作品", {"@value": "人物"}),
    "饰演": ("人物", {"@value": "人物", "inWork": "影视作品"}),
    "获奖": ("人物", {"@value": "奖项", "onDate": "Date", "inWork": "作品"}),
    "毕业院校": ("人物", {"@value": "学校"}),
}

MORE_PARTS = {
    "decade": "198 199 200 201".split(),
    "unit": list("0123456789"),
    "day": "2 4 6 7 9 13 15 16 18 21 23 26 27".split(),
    "given": list("伟芳娜敏静强磊勇艳杰涛霞刚华建文志鹏宇欣雨晨浩然轩涵思嘉怡曦燕春梅云飞佳慧丽婷"),
    "honour": "最佳表演奖 最佳新人奖 评审团奖 荣誉奖".split(),
}

TITLES = "{which}{thing} {which}{thing} {thing}与{thing} {land}{water}往事"
KINDS = {
    "person": Kind("人物", 420, PATTERNS["person"]),
    "role": Kind("人物", 160, "{surname}{given}{given} {surname}{given} 老{surname} 小{given} 阿{given} {foreign}"),
    "city": Kind("地点", 250, "{land}{water} {land}{water} {land}{water}市 {land}{water}县"),
    "seat": Kind("地点", 120, "{land}{water} {land}{water}市 {land}{water}市{side}区 {side}区{road}{way}{tens}{digit}号"),
    "place": Kind("地点", 150, PATTERNS["place"]),
    "firm": Kind("企业", 400, PATTERNS["firm"]),
    "shortfirm": Kind("企业", 80, PATTERNS["shortfirm"]),
    "bank": Kind("企业", 50, PATTERNS["bank"]),
    "school": Kind("学校", 150, "{land}{water}大学 {land}{water}{subject}大学 {land}{water}{subject}学院 {land}{water}职业学院"),
    "film": Kind("影视作品", 220, TITLES),
    "book": Kind("图书作品", 200, TITLES + " {topic}{kind_of_book}"),
    "date": Kind("Date", 240, "{decade}{unit}年 {decade}{unit}年{month}月 {decade}{unit}年{month}月{day}日"),
    "filmprize": Kind("奖项", 60, "{word}奖 {word}{honour} {word}电影奖 {land}{water}电影节{honour}"),
    "bookprize": Kind("奖项", 40, "{word}文学奖 {word}图书奖 {land}{water}文学奖"),
}  # fmt: skip

# Names that contain another one, which replaces @: their type and patterns.
LONGER = {
    "filmof": ("影视作品", "@的夏天 @的冬天 @与{thing} 寻找@"),
    "studio": ("企业", "@工作室 @影业 @文化公司"),
    "collection": ("图书作品", "@文集 @散文选 @自选集"),
    "firmof": ("企业", "@{trade}集团 @{stem1}{stem2}有限公司 @{stem1}{stem2}{trade}"),
}

FILLERS = {
    "number": "{tens}{digit} {tens}{digit}0 {tens}00 {tens}{digit}{tens}",
    "digit": "{digit}",
    "money": "{tens}.{digit}亿元 1{digit}亿元 {tens}00万元",
    "genre": "电影 影片 电视剧 喜剧片 悬疑片 网络剧",
    "movie": "电影 影片 喜剧片 悬疑片",
    "directs": "执导 导演",
    "stars": "主演 主演 领衔主演",
    "plays": "饰演 饰演 扮演",
    "crew": "制片人 编剧 摄影师 剪辑师",
    "founder": "创始人 创始人 创办人",
    "founds": "创办 创立 创建",
    "lies": "位于 设在 在",
    "staff": "工程师 会计 销售员 设计师 程序员",
    "goods": "茶叶 雨伞 童装 台灯 自行车 钢琴",
}

# Replacements of a ~; the last ones do not occur in train. None contains a date, which could be part of a triple.
LEADS = "据悉， 据报道， 据介绍， 记者获悉， 有媒体报道， 公开资料显示， 据当地媒体报道， 据知情人士透露，".split()

TAILS = (
    "。 。 。 。 ，当地媒体作了报道。 ，引起不少关注。 ，消息很快传开。 ，网友议论纷纷。 ，这让很多人感到意外。".split()
)

# Real places, firms and well-known people that the parts could produce.
EXISTING = (
    "青川 青州 青原 青城 临川 临江 临城 临港 望城 望江 石城 白城 柳州 柳城 柳江 清江 清城 清原 清州 清川 永川 永城 宁城 宁陵 "
    "宁江 平川 平湖 平原 平城 平桥 南江 南川 南溪 南湖 南城 南岭 南陵 南原 洛川 洛江 泉州 泉港 松溪 松江 松原 松岭 鹿城 丰原 "
    "石川 泉城 信达 信诚 恒泰 宏源 鼎泰 荔枝 樱桃 马云 刘涛 李娜 李强 李鹏 王刚 王艳 王勇 王志文 王文涛 李宇春 张杰 张静 "
    "张嘉佳 黄磊 谢飞 谢芳 吴刚 郭涛 周杰 周涛 周强 梁静 胡静 胡春华 赵涛 于敏 韩磊 宋佳 董文华 陈思思 何云伟 刘伟"
).split()


@dataclass(frozen=True)
class Name:
    """A name in a text: its type, itself and its position."""

    type: str
    text: str
    start: int

    def holds(self, start: int, end: int) -> bool:
        return self.start <= start and end <= self.start + len(self.text)


@dataclass(frozen=True)
class Triple:
    """A subject, a predicate, and the object by its slots, "@value" first; each name as (type, mention)."""

    subject: tuple[str, str]
    predicate: str
    slots: dict[str, tuple[str, str]]

    def names(self) -> list[tuple[str, str]]:
        return [self.subject, *self.slots.values()]

    def spo(self) -> dict[str, object]:
        """Its item of DuIE's spo_list."""
        subject_type, types = SCHEMA[self.predicate]
        return {
            "predicate": self.predicate,
            "subject": self.subject[1],
            "subject_type": subject_type,
            "object": {slot: mention for slot, (_, mention) in self.slots.items()},
            "object_type": {slot: types[slot] for slot in self.slots},
        }


@dataclass(frozen=True)
class Sentence:
    """A text, all names in it, its triples, and whether its template is used in train."""

    text: str
    names: tuple[Name, ...]
    triples: tuple[Triple, ...]
    known_template: bool

    def mentions(self) -> list[tuple[str, str]]:
        """Return (type, mention) of every name, in a triple or not."""
        return [(name.type, name.text) for name in self.names]

    def duie(self) -> str:
        """Return its line in the layout of DuIE 2."""
        line = {"text": self.text, "spo_list": [triple.spo() for triple in self.triples]}
        return json.dumps(line, ensure_ascii=False) + "\n"


class Author(Writer[Sentence]):
    """Fills templates, and builds the triples of the names."""

    def sentence(self, template: str, *, known_template: bool) -> Sentence | None:
        pattern, _, statements = template.partition(" | ")
        pieces = [(text, slot, mark or f"#{n}", of) for n, (text, slot, mark, of) in enumerate(self.pieces(pattern))]
        marked = self._marked([(slot, mark, of) for _, slot, mark, of in pieces if slot and slot not in FILLERS])
        text, names = "", list[Name]()
        for literal, slot, mark, _ in pieces:
            text += literal
            if slot in FILLERS:
                text += self.names.filler(slot, fresh=not self.own)
            elif slot:
                names.append(Name(*marked[mark], len(text)))
                text += marked[mark][1]
        triples = tuple(triple(statement, marked) for statement in statements.split("; ") if statement)
        sentence = Sentence(text, tuple(names), triples, known_template)
        distinct = len(set(marked.values())) == len(marked)
        return sentence if SHORTEST <= len(text) <= LONGEST and distinct and clear(sentence) else None

    def _marked(self, slots: list[tuple[str, str, str | None]]) -> dict[str, tuple[str, str]]:
        """Return (type, name) of every mark; those that contain another one come last."""
        marked: dict[str, tuple[str, str]] = {}
        for slot, mark, of in sorted(slots, key=lambda slot: slot[2] is not None):
            if of is not None:
                type_, patterns = LONGER[slot]
                marked[mark] = (type_, self.names.filled(patterns, fresh=self.fresh()).replace("@", marked[of][1]))
            elif mark not in marked:
                marked[mark] = (KINDS[slot].label, self.name(slot))
        return marked


def triple(statement: str, marked: dict[str, tuple[str, str]]) -> Triple:
    """Parse a triple of a template, with its names.

    Raises:
        ValueError: a name has a type that the schema does not allow.
    """
    subject, predicate, value, *slots = statement.split()
    marks = {"@value": value, **dict(slot.split("=") for slot in slots)}
    made = Triple(marked[subject], predicate, {slot: marked[mark] for slot, mark in marks.items()})
    subject_type, types = SCHEMA[predicate]
    wanted = [subject_type, *(types[slot] for slot in marks)]
    if not all(got.endswith(want) for (got, _), want in zip(made.names(), wanted, strict=True)):  # 影视作品 is a 作品
        raise ValueError(f"relations_templates.txt: {statement!r} has names with other types than SCHEMA allows")
    return made


def clear(sentence: Sentence) -> bool:
    """Say whether every name occurs only where it is meant, or inside a longer one of another type."""
    for name in sentence.names:
        at = sentence.text.find(name.text)
        while at >= 0:
            around = [other for other in sentence.names if other.holds(at, at + len(name.text))]
            if not any(other.text == name.text or other.type != name.type for other in around):
                return False
            at = sentence.text.find(name.text, at + 1)
    return True


def corpus() -> dict[str, list[Sentence]]:
    """Return all splits."""
    words = Words(KINDS, FILLERS, LEADS, TAILS, {**PARTS, **MORE_PARTS}, [*REAL, *EXISTING], UNSEEN_NAMES)
    return build(HERE / "relations_templates.txt", words, Author, SEED)


def report() -> str:
    """Return the sizes of all splits, and how much of them is new or hard, as a Markdown table."""
    splits = corpus()
    known = {name for sentence in splits["train"] for triple in sentence.triples for name in triple.names()}
    columns: dict[str, dict[str, str]] = {}
    for split, sentences in splits.items():
        triples = [triple for sentence in sentences for triple in sentence.triples]
        names = [name for triple in triples for name in triple.names()]
        length = sum(len(sentence.text) for sentence in sentences) / len(sentences)
        rows = columns[split] = {
            "sentences": str(len(sentences)),
            "without a triple": str(sum(not sentence.triples for sentence in sentences)),
            "characters in a sentence, mean": f"{length:.1f}",
            "triples": str(len(triples)),
            "by templates not in train": share(sum(not x.known_template for x in sentences), len(sentences)),
            "names in triples not in train": share(sum(name not in known for name in names), len(names)),
        }
        counts = {
            "sentences with names in no triple": sum(bool(misleading(x)) for x in sentences),
            "sentences with triples that share a name": sum(any(shared(x)) for x in sentences),
            "sentences with a pair under two predicates": sum(any(same_pair(x)) for x in sentences),
            "sentences with a name inside another": sum(any(nested(x)) for x in sentences),
            "complex objects": sum(len(triple.slots) > 1 for triple in triples),
        }
        rows.update({what: str(number) for what, number in counts.items()})
        rows.update({f"{key}: triples": str(sum(triple.predicate == key for triple in triples)) for key in SCHEMA})
    return table(columns)


def misleading(sentence: Sentence) -> set[tuple[str, str]]:
    """Return the names without a triple."""
    return set(sentence.mentions()) - {name for triple in sentence.triples for name in triple.names()}


def shared(sentence: Sentence) -> list[bool]:
    """Say for every two triples whether they share a name."""
    return [bool({*a.names()} & {*b.names()}) for a, b in combinations(sentence.triples, 2)]


def same_pair(sentence: Sentence) -> list[bool]:
    """Say for every two triples whether they have the same subject and object."""
    return [
        (a.subject, a.slots["@value"]) == (b.subject, b.slots["@value"]) for a, b in combinations(sentence.triples, 2)
    ]


def nested(sentence: Sentence) -> list[bool]:
    """Say for every two names whether one is inside the other."""
    names = [mention for _, mention in sorted(set(sentence.mentions()))]
    return [a in b or b in a for a, b in combinations(names, 2)]


def files() -> dict[str, str]:
    """Return the contents of the files of the corpus, including the schema in the layout of DuIE."""
    schema = [
        json.dumps({"object_type": types, "predicate": predicate, "subject_type": subject}, ensure_ascii=False) + "\n"
        for predicate, (subject, types) in SCHEMA.items()
    ]
    splits = {f"{split}.json": "".join(x.duie() for x in sentences) for split, sentences in corpus().items()}
    return {**splits, "schema.json": "".join(schema)}


if __name__ == "__main__":
    run(__doc__, HERE / "relations", report, files)
