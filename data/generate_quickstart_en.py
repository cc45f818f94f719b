"""Write the English quickstart corpus: invented sentences with entities and relations, the same bytes in every run.

    python data/generate_quickstart_en.py            # writes data/quickstart-en/{train,dev,test}.jsonl
    python data/generate_quickstart_en.py --report   # sizes, and how much of dev and test is new

Names are composed of parts by the patterns of KINDS, sentences of names by quickstart_en_templates.txt. A quarter of the names
in dev and test, and some of their templates, do not occur in train. Some words are an entity in one sentence and not in
another: Juniper is a company or a plant, a town that plays football is not a city, "The Silent Harbor" is a book or a ship.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from names import HERE, Kind, Words, Writer, build, run, share, table

SEED = 20261125
SHORTEST, LONGEST = 30, 150
UNSEEN_NAMES = 0.25

# Predicates with the labels of their subject and object.
SCHEMA = {
    "founder_of": ("person", "company"),
    "works_for": ("person", "company"),
    "headquartered_in": ("company", "city"),
    "founding_date": ("company", "date"),
    "acquired": ("company", "company"),
    "author_of": ("person", "work"),
    "studied_at": ("person", "university"),
}

PARTS = {
    "given": (
        "Mara Elena Ines Clara Nora Ruth Petra Hanna Lydia Vera Olive Tessa Freya Amira Leila Priya Mei Yuki Zoë Chloé Renée "
        "Anne-Marie José Łukasz Søren Jürgen Tomás Andrés Martin Henrik Jonas Victor Samuel Oscar Felix Hugo Arthur Edwin Ravi "
        "Kofi Omar Tariq Kenji Emeka Pavel Dmitri Marcus Walter Colin Duncan"
    ).split(),
    "family": (
        "Lindqvist Halloran Marsh Vance Okafor Brandt Castellan Ferrow Tolland Whitby Ostrander Kessel Moreau Varga Novakova "
        "Ibarra Quill Penrose Ashdown Thackeray Calloway Birkett Strand Holm Eriksen Duarte Salgado Núñez Müller Wójcik Farouk "
        "Mensah Adeyemi Tanaka Rao Banerjee Chandra Sorrel Winslow Pryce Garrick Lowell Fenn Rookwood Stavros Petrakis Dalca "
        "O'Brannon O'Dell D'Arcelle McCray Vale-Ortiz"
    ).split(),
    "initial": list("ABCDEGHJKLMRST"),
    "head": "North Iron Clear Amber Cobalt Copper Silver Hazel Ever Stone Bright Cinder Quick Harbor Summit Fern Lark Ember".split(),
    "tail": "wind gate brook field crest spire loom path forge leaf wheel grove mark line bridge peak".split(),
    "coined": "Veltrix Nuvora Quantara Zelios Orbyte Kestrix Lumeno Tavora Brixen Solvane Cyntra Mirelo Oxalon Pendrix".split(),
    "word": "Juniper Lantern Saffron Clover Thistle Magnolia Heather Marigold Acacia Jasmine Sorrel Tamarind".split(),
    "sector": (
        "Analytics Robotics Foods Energy Media Systems Logistics Pharma Software Airlines Textiles Motors Records Optics "
        "Shipping Insurance Biotech Games"
    ).split(),
    "form": "Inc. Ltd. Group Labs Holdings Corp. Partners".split(),
    "land": "Alder Carr Thorn Elm Kes Mar Wester Hol Brack Lyn Ravens Dun Ash Gren Tarn Fal Oster Wind Pell Stan".split(),
    "water": "ford ale wick bury mere haven ton by mouth combe stead holt".split(),
    "far": "Valmora Cerrano Castra-Nova Beltrana Santa_Lucera San_Torello Nørhavn São_Bento Kirova Lumière-sur-Aise".split(),
    "adjective": "Silent Last Distant Blue Hidden Broken Winter Northern Burning Quiet Forgotten Long Second Paper".split(),
    "thing": "Harbor River Garden Lighthouse Orchard Winter Witness Station Bridge Letter Mountain Clockmaker Island Mirror".split(),
    "topic": "Bread Maps Glass Tea Salt Clocks Rain Gardens Silk Bridges".split(),
    "month": "January February March April June July August September October November December".split(),
    "decade": "196 197 198 199 200 201".split(),
    "digit": list("23456789"),
    "tens": list("123456789"),
}  # fmt: skip

CITY = (
    "{land}{water}; {land}{water}; {land}{water}; Port {land}{water}; {land}{water} Falls; {land}{water}-on-Sea; {far}"
)
FIRM = (
    "{head}{tail} {sector}; {head}{tail} {sector}; {head}{tail} {sector} {form}; {coined} {sector}; {coined} {form}; "
    "{coined}; {family} & Sons; {family} {sector}; {land}{water} {sector}; {word} {sector}; {head}{tail} {form}"
)
BOOK = (
    "The {adjective} {thing}; The {adjective} {thing}; The {thing} and the {thing}; A Short History of {topic}; "
    "Letters from {land}{water}; The {thing}'s Daughter; {topic} and {topic}; {adjective} {topic}"
)
YEAR = "{decade}{digit}"
DAY = "{month} {digit}, {decade}{digit}; {digit} {month} {decade}{digit}; {month} 1{digit}, {decade}{digit}"
KINDS = {
    "person": Kind(
        "person", 500, "{given} {family}; " * 8 + "{given} {initial}. {family}; {initial}. {initial}. {family}"
    ),
    "firm": Kind("company", 400, FIRM),
    "shortfirm": Kind("company", 40, "{coined}; {word}; {head}{tail}; {word}"),
    "city": Kind("city", 200, CITY),
    "book": Kind("work", 260, BOOK),
    "school": Kind(
        "university",
        140,
        "{land}{water} University; {land}{water} University; {land}{water} Technical University; {family} College; "
        "{land}{water} College; {land}{water} School of Economics",
    ),
    "year": Kind("date", 24, YEAR),
    "date": Kind("date", 200, f"{{month}} {YEAR}; {{month}} {YEAR}; {YEAR}"),
    "day": Kind("date", 250, DAY),
}

# Words that are not entities, from the same parts; those that begin with `plain` look like one.
FILLERS = {
    "number": "{tens}{digit}; {tens}{digit}0; {tens}00; {digit}{tens}",
    "digit": "{digit}",
    "percent": "{tens}; {tens}.{digit}; 1{digit}",
    "money": "${tens}.{digit} million; ${tens}{digit}0,000; €{tens}{digit} million",
    "score": "{digit}-1; 3-0; {digit} to 1",
    "ajob": "an engineer; a designer; chief executive; a data scientist; head of sales; an accountant; a lawyer; chair; "
    "a product manager; finance director; a chemist",
    "subject": "physics; economics; law; chemistry; medicine; history; computer science; statistics",
    "goods": "bicycles; wind turbines; rain jackets; electric pianos; tea kettles; drones; reading lamps; garden tools; "
    "road maps; toys",
    "relative": "mother; uncle; neighbor; sister; grandfather; aunt",
    "plainword": "{word}",
    "plaincity": "{land}{water}",
    "plainbook": "The {adjective} {thing}",
}

# Replacements of a ~ at the beginning or the end; the last ones do not occur in train.
LEADS = [
    "Last week, ", "On Monday, ", "This morning, ", "As expected, ", "According to the local press, ", "In the end, ",
    "Yesterday, ", "This week, ",
]  # fmt: skip
TAILS = [
    ".", ".", ".", ".", ", the local press reports.", ", to the surprise of many.", ", two people said.",
    ", a spokesperson said.", ", the radio reports.",
]  # fmt: skip

# Real places, firms and people that the parts could produce.
EXISTING = (
    "Ashford Ashby Ashton Ashbury Alderton Holton Holmouth Holby Marton Marby Marbury Lynton Lynmouth Lynford Dunmouth Dunton "
    "Dunmere Stanton Stanford Standale Thornton Thornbury Elmwick Kesmere Grenford Westerby Westerham Falmouth Brackton "
    "Ravensholt Keswick Ashwick Windale Windermere Windbury Windton Northgate Silverline Silverpath Stonegate Stonebridge Stonefield Brightmark "
    "Irongate Copperfield Larkfield Clearpath Evergrove Silverleaf Silverbrook Stonecrest Stonepeak Fernwheel Cloverfield "
    "Everbridge Evergate Northbridge Northfield Ironbridge Ironforge Brightwheel Brightline Brightpath Clearbridge Clearbrook"
).split() + ["Felix Salgado", "Omar Farouk", "Samuel Adeyemi", "Martin Holm", "Oscar Holm"]


@dataclass(frozen=True)
class Entity:
    """A name in a text: its start, its end and its label."""

    start: int
    end: int
    label: str


@dataclass(frozen=True)
class Sentence:
    """A text, its entities, its relations as (subject, predicate, object), and whether its template is used in train."""

    text: str
    entities: tuple[Entity, ...]
    relations: tuple[tuple[Entity, str, Entity], ...]
    known_template: bool

    def mentions(self) -> list[tuple[str, str]]:
        """Return (label, mention) of every entity."""
        return [(entity.label, self.text[entity.start : entity.end]) for entity in self.entities]

    def related(self) -> set[Entity]:
        """Return the entities that have a relation."""
        return {entity for subject, _, value in self.relations for entity in (subject, value)}

    def json(self) -> str:
        """Return its line in the native format."""
        line = {
            "text": self.text,
            "entities": [self._fields(entity) for entity in self.entities],
            "relations": [
                {"subject": self._fields(subject), "predicate": predicate, "object": self._fields(value)}
                for subject, predicate, value in self.relations
            ],
        }
        return json.dumps(line, ensure_ascii=False) + "\n"

    def _fields(self, entity: Entity) -> dict[str, object]:
        span = {"start": entity.start, "end": entity.end, "label": entity.label}
        return {**span, "text": self.text[entity.start : entity.end]}


class Author(Writer[Sentence]):
    """Fills templates, and builds the relations of the names."""

    def sentence(self, template: str, *, known_template: bool) -> Sentence | None:
        pattern, _, statements = template.partition(" | ")
        text, entities, marked = "", list[Entity](), dict[str, Entity]()
        for literal, slot, mark, _ in self.pieces(pattern):
            text = joined(text, literal)
            if slot in FILLERS:
                text += self.names.filler(slot, fresh=not self.own)
            elif slot:
                name = self.name(slot)
                entities.append(Entity(len(text), len(text) + len(name), KINDS[slot].label))
                marked[mark or f"#{len(marked)}"] = entities[-1]
                text += name
        relations = tuple(relation(statement, marked) for statement in statements.split("; ") if statement)
        sentence = Sentence(text, tuple(entities), relations, known_template)
        return sentence if SHORTEST <= len(text) <= LONGEST and clear(sentence) else None


def joined(text: str, literal: str) -> str:
    """Join a text and what follows: "Corp." at the end has one full stop, "Everleaf Foods'" has no s after the apostrophe."""
    if text.endswith(".") and literal.startswith("."):
        return text + literal[1:]
    return text + ("'" + literal[2:] if text.endswith("s") and literal.startswith("'s ") else literal)


def relation(statement: str, marked: dict[str, Entity]) -> tuple[Entity, str, Entity]:
    """Parse a relation of a template, with its entities.

    Raises:
        ValueError: an entity has a label that the schema does not allow.
    """
    subject, predicate, value = statement.split()
    if (marked[subject].label, marked[value].label) != SCHEMA[predicate]:
        raise ValueError(f"quickstart_en_templates.txt: {statement!r} has names with other labels than SCHEMA allows")
    return marked[subject], predicate, marked[value]


def clear(sentence: Sentence) -> bool:
    """Say whether no name occurs twice in the text, and none inside another."""
    return all(len(re.findall(re.escape(mention), sentence.text)) == 1 for _, mention in sentence.mentions())


def corpus() -> dict[str, list[Sentence]]:
    """Return all splits."""
    parts = {key: [value.replace("_", " ") for value in values] for key, values in PARTS.items()}
    words = Words(KINDS, FILLERS, LEADS, TAILS, parts, EXISTING, UNSEEN_NAMES, between="; ")
    return build(HERE / "quickstart_en_templates.txt", words, Author, SEED)


def report() -> str:
    """Return the sizes of all splits, and how much of them is new or hard, as a Markdown table."""
    splits = corpus()
    known = {mention for sentence in splits["train"] for mention in sentence.mentions()}
    words = {word for sentence in splits["train"] for word in sentence.text.split()}
    columns: dict[str, dict[str, str]] = {}
    for split, sentences in splits.items():
        mentions = [mention for sentence in sentences for mention in sentence.mentions()]
        relations = [relation for sentence in sentences for relation in sentence.relations]
        found = [word for sentence in sentences for word in sentence.text.split()]
        rows = columns[split] = {
            "sentences": str(len(sentences)),
            "without an entity": str(sum(not sentence.entities for sentence in sentences)),
            "with entities, without a relation": str(sum(bool(x.entities) and not x.relations for x in sentences)),
            "with a pair that a predicate could join but does not": str(sum(tempting(x) for x in sentences)),
            "with two relations or more": str(sum(len(x.relations) > 1 for x in sentences)),
            "words in a sentence, mean": f"{len(found) / len(sentences):.1f}",
            "words not in train": share(sum(word not in words for word in found), len(found)),
            "by templates not in train": share(sum(not x.known_template for x in sentences), len(sentences)),
            "entities": str(len(mentions)),
            "entities not in train": share(sum(mention not in known for mention in mentions), len(mentions)),
        }
        for label in sorted({kind.label for kind in KINDS.values()}):
            of_label = [mention for mention in mentions if mention[0] == label]
            rows[f"{label}: entities"] = str(len(of_label))
            rows[f"{label}: not in train"] = share(sum(mention not in known for mention in of_label), len(of_label))
        rows["relations"] = str(len(relations))
        rows.update({f"{key}: relations": str(sum(found == key for _, found, _ in relations)) for key in SCHEMA})
    return table(columns)


def tempting(sentence: Sentence) -> bool:
    """Say whether two entities have the labels of a predicate but no relation."""
    joined_pairs = {frozenset((subject, value)) for subject, _, value in sentence.relations}
    return any(
        a != b and (a.label, b.label) in SCHEMA.values() and frozenset((a, b)) not in joined_pairs
        for a in sentence.entities
        for b in sentence.entities
    )


def files() -> dict[str, str]:
    """Return the contents of the files of the corpus."""
    return {f"{split}.jsonl": "".join(x.json() for x in sentences) for split, sentences in corpus().items()}


if __name__ == "__main__":
    run(__doc__, HERE / "quickstart-en", report, files)
