"""Shifted offsets and offsets in other units, found over an entire file, with and without mentions."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from support.corpora import recipe
from support.real import DATA, real

from ie_cli.doctor.data_checks import check
from ie_cli.doctor.offsets import OffsetEvidence
from ie_cli.formats import BadLine, read_documents, read_records
from ie_cli.formats.common.base import OffsetError
from ie_cli.formats.common.offset_units import SHIFTS, UNITS, Shift, readings

Sentence = tuple[str, list[tuple[int, int]]]

PEOPLE = ["王伟", "李娜", "张敏敏", "陈晨", "刘洋", "赵静怡"]
PLACES = ["青川", "云州市", "东湖", "南岭县", "上林"]
CHINESE = [
    "{p}昨天去了{l}。",
    "听说{p}和{q}住在{l}附近",
    "{l}的{p}说：{q}还没有来",
    "在{l}，{p}遇到了老朋友{q}",
    "{q}给{p}打电话时，{l}正在下雨",
]
ENGLISH = [
    "{p} went to {l}.",
    "Yesterday {p} met {q} in {l}",
    "In {l}, {p} called {q}",
    "{l} is where {q} and {p} live",
]


def sentences(templates: list[str], people: list[str], places: list[str], count: int = 300) -> list[Sentence]:
    """Random sentences with the spans of their names."""
    rng = random.Random(0)
    made = []
    for _ in range(count):
        names = {"p": rng.choice(people), "q": rng.choice(people), "l": rng.choice(places)}
        text, spans = "", []
        for part in re.split(r"(\{\w\})", rng.choice(templates)):
            if part.startswith("{"):
                spans.append((len(text), len(text) + len(names[part[1]])))
            text += names[part[1]] if part.startswith("{") else part
        made.append((text, spans))
    return made


CORPORA = {
    "zh": sentences(CHINESE, PEOPLE, PLACES),
    "en": sentences(ENGLISH, ["Anna", "Robert Hill", "Xenia", "Tom"], ["Rome", "New York", "Oslo"]),
}


def verdict(data: list[Sentence], change: Callable[[int, int], tuple[int, int]] = lambda a, b: (a, b)) -> str | None:
    """What is found if every span of some sentences is changed."""
    evidence = OffsetEvidence()
    for number, (text, spans) in enumerate(data):
        changed = [change(*span) for span in spans]
        evidence.add(text, [span for span in changed if 0 <= span[0] <= span[1] <= len(text)], f"x:{number}")
    return evidence.verdict()


@pytest.mark.parametrize("name", list(CORPORA))
@pytest.mark.parametrize(
    ("by", "formula"),
    [
        ((0, -1), "end offsets are exclusive|text[start:end + 1]"),
        ((1, 0), "text[start - 1:end]"),
        ((1, 1), "text[start - 1:end - 1]"),
        ((-1, -1), "text[start + 1:end + 1]"),
    ],
)
def test_both_sides_of_shifted_spans_are_corrected(name: str, by: tuple[int, int], formula: str) -> None:
    found = verdict(CORPORA[name], lambda start, end: (start + by[0], end + by[1]))
    assert found is not None
    assert any(part in found for part in formula.split("|"))
    example = re.search(r"x:(\d+): (\d+)-(\d+) is .*, and would be '(.*)'", found)
    assert example is not None
    text, spans = CORPORA[name][int(example[1])]
    assert example[4] in [text[slice(*span)] for span in spans]


@pytest.mark.parametrize("name", list(CORPORA))
def test_right_offsets_are_not_suspected(name: str) -> None:
    data = CORPORA[name]
    assert verdict(data) is None
    for size in (5, 20, 60):
        for start in range(0, 240, 40):
            assert verdict(data[start : start + size]) is None


def test_sentences_that_repeat_themselves_prove_nothing() -> None:
    """The neighbours of every name are always the same, as those of a cut name would be."""
    data = [(f"{person}在{place}大学读书", [(0, len(person)), (len(person) + 1, len(person + place) + 1)])
            for person in PEOPLE for place in PLACES]  # fmt: skip
    assert verdict(data * 3) is None


def test_whitespace_at_the_ends_is_no_shift() -> None:
    assert verdict(CORPORA["en"], lambda start, end: (max(0, start - 1), end)) is None


LINES = "\r\n".join(["Anna met Tom.", "Xenia met Anna.", "Tom left."])
MARKED = "Cafe\u0301 of Zoe\u0308 and e\u0301lan: Anna met Tom, 👨\u200d👩\u200d👧 and 🇫🇷 Xenia"


def in_units(text: str, mentions: list[str], offset: Callable[[str], int]) -> list[tuple[int, int]]:
    places = [(at.start(), at.end()) for mention in mentions for at in re.finditer(mention, text)]
    return sorted((offset(text[:start]), offset(text[:end])) for start, end in places)


def graphemes(text: str) -> int:
    return len(re.sub("[\u0300-\u036f\u200d]", "", re.sub("\u200d.", "", text).replace("🇫🇷", "x")))


@pytest.mark.parametrize(
    ("text", "offset", "words"),
    [
        (LINES, lambda before: len(before.replace("\r\n", "\n")), "a line break \\r\\n as one character"),
        (
            LINES.replace("\r", ""),
            lambda before: len(before) + before.count("\n"),
            "a line break \\n as two characters",
        ),
        (MARKED, graphemes, "user-perceived characters"),
        (" ".join(LINES.split()), lambda before: len(before.split()), "words, not"),
    ],
)
def test_other_units_are_named_and_not_called_inclusive(text: str, offset: Callable[[str], int], words: str) -> None:
    mentions = ["Anna", "Tom", "Xenia"]
    evidence = OffsetEvidence()
    for n in range(3):
        again = f"{text} {n}"
        evidence.add(again, in_units(again, mentions, offset), f"x:{n}")
    found = evidence.verdict()
    assert found is not None
    assert f"offsets seem to count {words}" in found
    assert re.search("and would be '(Anna|Tom|Xenia)'", found)
    right = OffsetEvidence()
    for n in range(3):
        right.add(f"{text} {n}", in_units(f"{text} {n}", mentions, len), f"x:{n}")
    assert right.verdict() is None


def test_words_with_inclusive_ends_are_named() -> None:
    evidence = OffsetEvidence()
    for n in range(4):
        evidence.add(f"Yesterday evening Anna Hill met Tom in Rome {n}", [(2, 3), (5, 5), (7, 7)], f"x:{n}")
    assert "offsets seem to count words, with inclusive ends" in (evidence.verdict() or "")


def test_line_breaks_in_chinese_texts_are_found_by_repeated_names() -> None:
    evidence = OffsetEvidence()
    for n in range(0, 60, 3):
        text, spans, at = "", [], 0
        for line, places in CORPORA["zh"][n : n + 3]:
            spans += [(start + at, end + at) for start, end in places]
            text += f"{line}\r\n"
            at += len(line) + 1
        evidence.add(text, spans, f"x:{n}")
    assert "a line break \\r\\n as one character" in (evidence.verdict() or "")


def test_every_reading_of_a_mention_is_yielded() -> None:
    assert list(readings("Anna met Bob", (0, 3), "Anna")) == ["end seems to be inclusive"]
    assert list(readings("Anna met Bob", (10, 13), "Bob")) == [
        "start and its end seem to be 1 too high, as if counted from 1"
    ]
    assert next(readings("Anna met Bob", (2, 3), "Bob")) == "offsets seem to count words"
    assert list(readings("Anna met Bob", (0, 2), "Tim")) == []
    for shift in SHIFTS:
        span = (5 - shift.start, 8 - shift.end)
        assert shift.describe() in " ".join(readings("Anna met Bob", span, "met"))
    assert next(readings("中 met", (4, 7), "met")) == "offsets seem to count UTF-8 bytes"
    assert [unit.places("ab") for unit in UNITS] == [None] * len(UNITS)
    assert Shift(-1, 0).formula() == "text[start - 1:end]"


def test_mentions_that_all_have_the_same_error_are_explained_once(tmp_path: Path) -> None:
    records = [
        {"text": text, "entities": [{"start": a + 1, "end": b, "label": "x", "text": text[a:b]} for a, b in spans]}
        for text, spans in CORPORA["zh"][:8]
    ]
    train = tmp_path / "t.jsonl"
    train.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    errors = [record.error for record in read_records(str(train)) if isinstance(record, BadLine)]
    assert all(isinstance(error, OffsetError) and error.mention for error in errors)
    findings = [finding.text for finding in check(recipe(train, data={"dev": None}))]
    assert (
        "train: 8 of 8 entities whose offsets do not cover their text can be explained alike: the start seems to be 1 too high, "
        "as if counted from 1 with an inclusive end"
    ) in findings


REAL = {
    "cluener/dev.json": [(0, -1), (1, 0), (1, 1), (-1, -1)],
    "conll04/conll04_dev.json": [(0, -1), (1, 0), (1, 1), (-1, -1)],
    "crossner_ai/dev.txt": [(0, -1), (1, 0), (1, 1), (-1, -1)],
    "wnut17/emerging.dev.conll": [(0, -1), (1, 0), (1, 1), (-1, -1)],
    "germeval2014/dev.tsv": [(0, -1), (1, 0), (1, 1), (-1, -1)],
}


@pytest.mark.real
@pytest.mark.parametrize("name", list(REAL))
def test_real_corpora_are_right_and_shifted_ones_are_corrected(name: str) -> None:
    documents = read_documents(str(real(DATA, name)))
    data = [(document.text, sorted({(e.start, e.end) for e in document.entities})) for document in documents]
    assert verdict(data) is None
    for by in REAL[name]:
        found = verdict(data, lambda start, end, by=by: (start + by[0], end + by[1]))  # type: ignore[misc]
        corrected = Shift(-by[0], -by[1])
        expected = "end offsets are exclusive" if by == (0, -1) else corrected.formula()
        assert expected in (found or "") or corrected.formula() in (found or "")
