"""Findings about names of labels, odd spans and strings that are annotated here and not there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from support.corpora import recipe, write_jsonl

from ie_cli.doctor.consistency import UnmarkedMentions
from ie_cli.doctor.data_checks import check
from ie_cli.document import Document, Entity

Spans = list[tuple[int, int, str]]


def findings(path: Path, *documents: tuple[str, Spans], dev: list[tuple[str, Spans]] | None = None, **data: Any) -> str:
    def written(name: str, some: tuple[tuple[str, Spans], ...]) -> str:
        made = [Document(text, [Entity(*span) for span in spans]) for text, spans in some]
        return str(write_jsonl(path / name, made))

    train = written("train.jsonl", documents)
    other = None if dev is None else written("dev.jsonl", tuple(dev))
    found = check(recipe(Path(train), data={"dev": other, **data}))
    return "\n".join(f"{finding.kind}: {finding.text}" for finding in found)


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (["PER", "PER "], "'PER' 1, 'PER ' 1"),
        (["PER", "per"], "'PER' 1, 'per' 1"),
        (["PER", "P\u200bER"], "'P\\u200bER' 1, 'PER' 1"),
        (["ＰＥＲ", "PER"], "'PER' 1, 'ＰＥＲ' 1"),
        (["Product", "PRODUCT", "PRODUCT"], "'PRODUCT' 2, 'Product' 1"),
        (["Straße", "STRASSE"], "'STRASSE' 1, 'Straße' 1"),
    ],
)
def test_labels_that_look_alike_are_listed(labels: list[str], shown: str, tmp_path: Path) -> None:
    found = findings(tmp_path, *((f"Anna {n}", [(0, 4, label)]) for n, label in enumerate(labels)))
    start = "warning: labels that differ only in case, form, spaces or invisible characters, and so are learned separately: "
    assert sorted(found.split(start)[1].splitlines()[0].split(", ")) == sorted(shown.split(", "))


def test_labels_of_dev_and_of_the_recipe_are_compared_too(tmp_path: Path) -> None:
    train, dev = ("Anna", [(0, 4, "PER")]), [("Bob", [(0, 3, "per")])]
    assert "learned separately: 'PER' 1, 'per' 1" in findings(tmp_path, train, dev=dev)
    found = findings(tmp_path, train, labels=["PER", "per", "place"])
    assert "learned separately: 'PER' 1, 'per' 0" in found
    assert "warning: labels that data.labels lists and no example of train has: 'per', 'place'" in found
    quiet = findings(tmp_path, train, ("Rome", [(0, 4, "place")]), labels=["PER", "place"])
    assert "learned separately" not in quiet
    assert "no example of train has" not in quiet


@pytest.mark.parametrize(
    ("text", "span", "words"),
    [
        ("She met Annabel.", (8, 12), "starts or ends inside a word"),
        ("They played football.", (16, 20), "starts or ends inside a word"),
        ("no Infi1", (3, 7), "starts or ends inside a word"),
        ("王伟来了。他说", (0, 6), "contains a line break or the end of a sentence"),
        ("Anna\nHill came", (0, 9), "contains a line break or the end of a sentence"),
        ("王伟，李娜", (2, 3), "consists of punctuation alone"),
    ],
)
def test_odd_spans_are_shown(text: str, span: tuple[int, int], words: str, tmp_path: Path) -> None:
    good = [(f"Anna met {n}", [(0, 4, "person")]) for n in range(5)]
    found = findings(tmp_path, *good, (text, [(*span, "person")]))
    assert (
        f"warning: train: 1 of 6 entities {words}:\n  {tmp_path / 'train.jsonl'}:6: person {text[slice(*span)]!r} in "
        in found
    )
    assert " entities start or end" not in (clean := findings(tmp_path, *good))
    assert " entities contain" not in clean
    assert " entities consist" not in clean


def test_a_name_before_a_number_is_not_inside_a_word(tmp_path: Path) -> None:
    found = findings(tmp_path, ("no Infi1.25 here", [(3, 7, "person")]), ("a 2 b", [(2, 3, "12")]))
    assert "inside a word" not in found
    assert '2 entities: person 1, "12" 1' in found


@pytest.mark.parametrize(
    "text", ["5mg a day", "王伟来了。", "北京2008年", "ภาษาไทย", "《你好！中国》", "St. Louis", "It's", "Anna-Lena"]
)
def test_usual_spans_are_not_odd(text: str, tmp_path: Path) -> None:
    end = {"5mg a day": 1, "王伟来了。": 5, "北京2008年": 6, "ภาษาไทย": 4, "It's": 2, "Anna-Lena": 4}.get(
        text, len(text)
    )
    found = findings(tmp_path, (text, [(0, end, "x")]))
    assert not any(words in found for words in ("inside a word", "end of a sentence", "punctuation alone"))


def test_strings_that_are_annotated_here_and_not_there_are_shown(tmp_path: Path) -> None:
    marked = [(f"{n} 云州 Rome", [(2, 4, "place"), (5, 9, "place")]) for n in range(3)]
    found = findings(tmp_path, *marked, ("去云州，云州人说 Romeo", [(4, 7, "people")]), ("Rome", []))
    place = tmp_path / "train.jsonl"
    assert (
        "warning: train: 2 strings are annotated at least 3 times, but not in 2 other places where they occur:\n"
        f"  'Rome': annotated 3, not annotated 1, first in {place}:5\n"
        f"  '云州': annotated 3, not annotated 1, first in {place}:4"
    ) in found
    assert "other place" not in findings(tmp_path, *marked[:2], ("云州", []))
    assert "other place" not in findings(tmp_path, *marked, ("云州 Rome", [(0, 7, "pair")]))


def test_single_strings_among_many_are_a_note(tmp_path: Path) -> None:
    found = findings(
        tmp_path, *((f"{n} 云州", [(len(str(n)) + 1, len(str(n)) + 3, "place")]) for n in range(30)), ("云州", [])
    )
    assert "note: train: 1 string is annotated at least 3 times, but not in 1 other place where it occurs" in found


def test_texts_that_repeat_themselves_take_little_time() -> None:
    found = UnmarkedMentions()
    for n in range(500):
        text = "甲乙" * 1_000  # without a limit it takes minutes
        found.add(Document(text), [Entity(0, 2 + n % 30, "x")])
    began = time.process_time()
    assert list(found.findings("train"))
    assert time.process_time() - began < 15
