"""Findings about pairs of texts, and the recipe that is proposed for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.corpora import write_jsonl

from ie_cli.doctor.data_checks import check
from ie_cli.doctor.pairs import PairChecks
from ie_cli.doctor.recipe_proposal import propose_recipe
from ie_cli.document import Document, Entity
from ie_cli.recipe.loader import load_recipe
from ie_cli.recipe.schema import Recipe

Check = Callable[..., list[tuple[str, str]]]


def pair(first: str, second: str, label: str | float | None = None) -> Document:
    if isinstance(label, str):
        return Document(first, text_pair=second, label=label)
    return Document(first, text_pair=second, score=label)


def distinct(count: int, label: str | float | None = "1", *, start: int = 0) -> list[Document]:
    return [pair(f"甲{n}", f"乙{n}", label) for n in range(start, start + count)]


@pytest.fixture
def checked(tmp_path: Path) -> Check:
    """Return a function that checks splits of pairs, and gives the findings that are no descriptions of the splits."""

    def run(
        train: list[Document],
        *,
        dev: list[Document] | float | None = None,
        head: dict[str, Any] | None = None,
        training: dict[str, Any] | None = None,
        data: dict[str, Any] | None = None,
        everything: bool = False,
    ) -> list[tuple[str, str]]:
        path = str(write_jsonl(tmp_path / "train.jsonl", train))
        other = str(write_jsonl(tmp_path / "dev.jsonl", dev)) if isinstance(dev, list) else dev
        fields = {
            "name": "pairs",
            "task": "match",
            "data": {"train": path, "dev": other, **(data or {})},
            "encoder": {"name": "tiny", "max_length": 32},
            "head": head or {"name": "cosent"},
            "training": {"batch_size": 8, **(training or {})},
        }
        found = [(finding.kind, finding.text) for finding in check(Recipe.model_validate(fields))]
        usual = () if everything else ("no dev data", "dev: ")
        return [(kind, text) for kind, text in found if " examples (" not in text and not text.startswith(usual)]

    return run


GOOD = [*distinct(20, "1"), *distinct(20, "0", start=20)]


def test_good_pairs_give_no_finding(checked: Check) -> None:
    assert checked(GOOD) == []
    assert checked(GOOD, dev=[*distinct(30, "1", start=100), *distinct(30, "0", start=200)]) == []


def test_pairs_that_occur_again_and_contradict_each_other(checked: Check, tmp_path: Path) -> None:
    again = [pair("甲0", "乙0", "1"), pair("乙1", "甲1", "1"), pair("甲2", "乙2", "0"), pair("乙3", "甲3", "0")]
    unlabelled = [pair("甲4", "乙4")]
    where = tmp_path / "train.jsonl"
    assert checked([*GOOD, *again, *unlabelled])[:3] == [
        ("warning", f"train: 1 pair occurs again with a different class or score:\n  {where}:43: '甲2' and '乙2'"),
        (
            "warning",
            "train: 1 pair occurs again in the other order with a different class or score:\n"
            f"  {where}:44: '乙3' and '甲3'",
        ),
        ("warning", "train: 3 of 45 pairs occurred before, and 2 in the other order"),
    ]


def test_a_text_may_occur_in_several_pairs(checked: Check) -> None:
    assert checked([*GOOD, pair("甲0", "乙1", "0"), pair("甲0", "乙2", "1")]) == []


def test_empty_and_equal_texts(checked: Check) -> None:
    odd = [pair("甲", "", "0"), pair("", "乙", "0"), pair("丙", "丙", "0"), pair("丁", "丁", "1")]
    assert checked([*GOOD, *odd]) == [
        ("warning", "train: 2 pairs with an empty text"),
        ("warning", "train: 1 of 2 pairs of equal texts with a class other than '1', the most similar one"),
    ]
    graded = [*distinct(20, 0.0), *distinct(20, 5.0, start=20), pair("丙", "丙", 2.0), pair("丁", "丁", 3.0)]
    assert checked(graded) == [
        ("warning", "train: 1 of 2 pairs of equal texts with a score below 2.5, the middle of all scores")
    ]
    listed = [*distinct(20, "b"), *distinct(20, "a", start=20), pair("丙", "丙", "b")]
    assert checked(listed, data={"labels": ["b", "a"]}) == [
        ("warning", "train: 1 of 1 pair of equal texts with a class other than 'a', the most similar one")
    ]


def test_pairs_and_texts_of_dev_that_train_contains(checked: Check) -> None:
    dev = [pair("甲0", "乙0", "1"), pair("乙1", "甲1", "1"), pair("甲2", "新", "0"), *distinct(57, "0", start=100)]
    assert checked(GOOD, dev=dev) == [
        (
            "warning",
            "train contains 2 of 60 pairs of dev, in this or the other order: scores on dev will be too high; set data.dev: 0.1 "
            "to split pairs off train",
        )
    ]
    [shared] = [text for _, text in checked(GOOD, dev=dev, everything=True) if "have a text" in text]
    assert shared.startswith("dev: 3 of 60 pairs (5.0%) have a text that train contains, too")
    [(kind, text)] = checked(GOOD, dev=GOOD)
    assert (kind, text.startswith("train contains 40 of 40 pairs of dev")) == ("error", True)


def test_a_rare_class_is_a_warning(checked: Check) -> None:
    [(kind, text)] = checked([*distinct(210, "0"), *distinct(10, "1", start=300)], training={"batch_size": 32})
    assert kind == "warning"
    assert text.startswith("train: the class '1' has 10 pairs, '0' 210, which is 21 times as many")
    assert checked([*distinct(200, "0"), *distinct(10, "1", start=300)], training={"batch_size": 32}) == []


@pytest.mark.parametrize(
    ("head", "warned"),
    [
        ({"name": "cosent"}, True),
        ({"name": "cross_encoder", "loss": "cosent"}, True),
        ({"name": "cross_encoder"}, False),
        ({"name": "sbert"}, False),
        ({"name": "infersent"}, False),
    ],
)
def test_batches_of_one_class_matter_for_losses_that_compare_pairs(
    checked: Check, head: dict[str, Any], warned: bool
) -> None:
    data = [*distinct(64, "0"), *distinct(6, "1", start=100)]
    found = checked(data, head=head, training={"batch_size": 4})
    assert len(found) == warned
    if warned:
        [(kind, text)] = found
        assert kind == "warning"
        assert text.startswith("train: at least 12 of 18 batches of each epoch contain only pairs of the class '0'")
        assert text.endswith("raise training.batch_size (now 4)")
    assert checked(data, head=head, training={"batch_size": 16}) == []
    assert checked(data, head=head, training={"batch_size": 4, "accumulation": 4}) == []


@pytest.mark.parametrize(("head", "count"), [("cosent", 2), ("cross_encoder", 3)])
def test_texts_that_are_too_long_are_counted(checked: Check, head: str, count: int) -> None:
    """A window of 32 tokens holds one text of 30 characters, or two of 29 together."""
    long = [pair("长" * 31, "短" * 31, "1"), pair("长" * 20, "短" * 9, "0"), pair("长" * 10, "短" * 20, "0")]
    [(kind, text)] = checked([*GOOD, *long], head={"name": head})
    assert kind == "warning"
    assert text.startswith(f"train: {count} of 86 texts exceed encoder.max_length")
    assert "the longest has 31 tokens" in text


def test_another_task_on_the_same_texts_finds_its_own_repetitions(tmp_path: Path) -> None:
    data = [Document("王伟来了", [Entity(0, 2, "person")], text_pair=f"乙{n}", label=str(n % 2)) for n in range(9)]
    path = str(write_jsonl(tmp_path / "train.jsonl", data))
    sections = {"data": {"train": path}, "encoder": {"name": "tiny"}}
    texts = [f.text for f in check(Recipe.model_validate({"name": "x", **sections, "head": {"name": "softmax"}}))]
    assert any("8 of 9 texts are duplicates" in text for text in texts)
    matched = {"name": "x", **sections, "task": "match", "head": {"name": "cosent"}}
    assert not any("duplicates" in finding.text for finding in check(Recipe.model_validate(matched)))


TEXTS = st.sampled_from(["a", "b", "c", "", " "])
DATA = st.lists(st.builds(pair, TEXTS, TEXTS, st.sampled_from(["0", "1", 0.5, None])), max_size=12)


@given(DATA, DATA)
def test_the_counts_are_those_of_comparing_all_pairs(train: list[Document], other: list[Document]) -> None:
    found, second = PairChecks(), PairChecks()
    for document in train:
        found.add(document)
    for document in other:
        second.add(document)
    texts = [(document.text, document.text_pair) for document in train]
    repeated = {j for i, j in combinations(range(len(texts)), 2) if texts[i] == texts[j]}
    swapped = {j for i, j in combinations(range(len(texts)), 2) if texts[i] == texts[j][::-1]} - repeated
    assert (found.duplicates, found.swapped, found.total) == (len(repeated), len(swapped), len(texts))
    whole, some = second.shared_with(found)
    pairs = {(document.text, document.text_pair) for document in other}
    assert whole == sum(one in texts or one[::-1] in texts for one in pairs)
    known = {text for both in texts for text in both}
    assert some == sum(document.text in known or document.text_pair in known for document in other)
    assert second.distinct == len(pairs)


# --- the proposed recipe


def proposed(directory: Path, content: str, name: str = "train.tsv") -> tuple[str, Recipe]:
    (directory / name).write_text(content, encoding="utf-8")
    text = propose_recipe(str(directory / name), encoder="tiny")
    (directory / "recipe.yaml").write_text(text, encoding="utf-8")
    return text, load_recipe(directory / "recipe.yaml")


def test_a_recipe_for_classes(tmp_path: Path) -> None:
    rows = "".join(f"今天天气怎么样{n}\t明天天气怎么样{n}\t{n % 2}\n" for n in range(60))
    text, recipe = proposed(tmp_path, rows + f"{'长' * 50}\t短的文本\t1\n")
    assert "# 61 examples, 61 pairs." in text
    assert '# 2 labels: "1" 31, "0" 30' in text
    assert (recipe.task, recipe.head.name) == ("match", "cosent")
    assert recipe.data is not None
    assert (recipe.data.format, recipe.data.grades, recipe.data.labels) == ("pairs", None, None)
    assert recipe.encoder.max_length == 56  # 50 characters and two special tokens
    assert "stride" not in text
    assert recipe.training.batch_size == 16


def test_a_recipe_for_grades_reads_all_files_alike(tmp_path: Path) -> None:
    rows = "".join(f"It is {n} degrees.,It is warm.,{n / 8}\n" for n in range(40))
    (tmp_path / "dev.csv").write_text("It is warm.,It is cold.,1\n" * 60, encoding="utf-8")
    text, recipe = proposed(tmp_path, rows, "train.csv")
    assert "# scores from 0 to 4.875" in text
    assert recipe.data is not None
    assert (recipe.data.grades, Path(str(recipe.data.dev)).name) == (True, "dev.csv")
    assert not [finding for finding in check(recipe) if "score, but no class" in finding.text]
    assert any("60 pairs: graded 60" in finding.text for finding in check(recipe))


def test_a_recipe_lists_classes_whose_order_is_unknown(tmp_path: Path) -> None:
    lines = [{"sentence1": f"a{n}", "sentence2": "b", "label": "uvw"[n % 3]} for n in range(30)]
    text, recipe = proposed(tmp_path, "".join(map("{}\n".format, map(json.dumps, lines))), "train.jsonl")
    assert "labels: [u, v, w]" in text
    assert "from the least to the most similar" in text
    assert recipe.data is not None
    assert (recipe.data.labels, recipe.data.format) == (["u", "v", "w"], "pairs-json")
