"""Write the quickstart corpus: invented Chinese sentences in the CLUENER layout, the same bytes in every run.

    python data/generate_quickstart.py            # writes data/quickstart/{train,dev,test}.json
    python data/generate_quickstart.py --report   # sizes, and how much of dev and test is new

Names are composed of parts by the patterns of KINDS, sentences of names by quickstart_templates.txt. Two fifths of the
names in dev and test, and some of their templates, do not occur in train. Some words are an entity in one sentence and not
in another: a city that plays football is an organization, 松果 is a company or a pine cone, 《…》 is a book or a film.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from names import HERE, PATTERNS, Kind, Words, Writer, build, run, share, table

SEED = 20261124
SHORTEST, LONGEST = 15, 60

KINDS = {
    "person": Kind("name", 420, PATTERNS["person"]),
    "city": Kind("address", 250, "{land}{water} {land}{water} {land}{water}市 {land}{water}县 {land}{water}省"),
    "place": Kind("address", 300, PATTERNS["place"]),
    "firm": Kind("company", 400, PATTERNS["firm"]),
    "shortfirm": Kind("company", 120, PATTERNS["shortfirm"]),
    "latin": Kind("company", 14, "{latinword} {latinword} {latinword}公司"),
    "bank": Kind("company", 50, PATTERNS["bank"]),
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

# Words that are not entities, from the same parts; `movie` and `plain` look like entities.
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

# Replacements of a ~ at the beginning or the end; the last ones of each do not occur in train.
LEADS = "昨天， 日前， 据悉， 本周五， 今天上午， {month}月{digit}日， {year}年{month}月， 有媒体报道， 周二晚间， 截至{month}月底，".split()
TAILS = "。 。 。 。 ，网友议论纷纷。 ，这让很多人没有想到。 ，当地媒体作了报道。 ，谁也没有料到。 ，消息很快传开了！ ，大家拭目以待。".split()


@dataclass(frozen=True)
class Sentence:
    """A text, its entities as (start, inclusive end, label), and whether its template is used in train."""

    text: str
    entities: tuple[tuple[int, int, str], ...]
    known_template: bool

    def mentions(self) -> list[tuple[str, str]]:
        """Return (label, mention) of every entity."""
        return [(label, self.text[start : end + 1]) for start, end, label in self.entities]

    def cluener(self) -> str:
        """Return its line in the CLUENER layout."""
        labels: dict[str, dict[str, list[list[int]]]] = {}
        for start, end, label in self.entities:
            labels.setdefault(label, {}).setdefault(self.text[start : end + 1], []).append([start, end])
        return json.dumps({"text": self.text, "label": labels}, ensure_ascii=False) + "\n"


class Author(Writer[Sentence]):
    """Fills templates, and records the positions of the names."""

    def sentence(self, template: str, *, known_template: bool) -> Sentence | None:
        text, entities, given = "", [], dict[tuple[str, str], str]()
        for literal, slot, mark, _ in self.pieces(template):
            text += literal
            if slot in FILLERS:
                text += self.names.filler(slot, fresh=not self.own)
            elif slot:
                again = mark is not None and (slot, mark) in given
                name = given[slot, mark or ""] if again else self.name(slot)
                if not again and name in given.values():
                    return None
                given[slot, mark or str(len(given))] = name
                entities.append((len(text), len(text) + len(name) - 1, KINDS[slot].label))
                text += name
        sentence = Sentence(text, tuple(entities), known_template)
        return sentence if SHORTEST <= len(text) <= LONGEST and complete(sentence) else None


def complete(sentence: Sentence) -> bool:
    """Say whether every occurrence of a mention is annotated or inside a longer one."""
    for _, mention in sentence.mentions():
        at = sentence.text.find(mention)
        while at >= 0:
            if not any(start <= at and at + len(mention) - 1 <= end for start, end, _ in sentence.entities):
                return False
            at = sentence.text.find(mention, at + 1)
    return True


def corpus() -> dict[str, list[Sentence]]:
    """Return all splits."""
    return build(HERE / "quickstart_templates.txt", Words(KINDS, FILLERS, LEADS, TAILS), Author, SEED)


def report() -> str:
    """Return the sizes of all splits, and how much of dev and test is new, as a Markdown table."""
    splits = corpus()
    known = {mention for sentence in splits["train"] for mention in sentence.mentions()}
    characters = {char for sentence in splits["train"] for char in sentence.text}
    columns: dict[str, dict[str, str]] = {}
    for split, sentences in splits.items():
        mentions = [mention for sentence in sentences for mention in sentence.mentions()]
        unseen = [mention for mention in mentions if mention not in known]
        length = sum(len(sentence.text) for sentence in sentences) / len(sentences)
        by_own_templates = sum(not sentence.known_template for sentence in sentences)
        rows = columns[split] = {
            "sentences": str(len(sentences)),
            "without an entity": str(sum(not sentence.entities for sentence in sentences)),
            "characters in a sentence, mean": f"{length:.1f}",
            "entities": str(len(mentions)),
            "by templates not in train": share(by_own_templates, len(sentences)),
            "entities not in train": share(len(unseen), len(mentions)),
        }
        for label in sorted({kind.label for kind in KINDS.values()}):
            of_label = [mention for mention in mentions if mention[0] == label]
            rows[f"{label}: entities"] = str(len(of_label))
            rows[f"{label}: not in train"] = share(sum(mention not in known for mention in of_label), len(of_label))
        new = {char for sentence in sentences for char in sentence.text} - characters
        rows["characters not in train"] = str(len(new))
    return table(columns)


def files() -> dict[str, str]:
    """Return the contents of the files of the corpus."""
    return {f"{split}.json": "".join(x.cluener() for x in sentences) for split, sentences in corpus().items()}


if __name__ == "__main__":
    run(__doc__, HERE / "quickstart", report, files)
