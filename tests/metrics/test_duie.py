from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.document import Document, Entity, Relation, Spo
from ie_cli.errors import DataError
from ie_cli.metrics.duie import OfficialCounts, OfficialScorer, read_aliases, spos_of

NAMES = ["a", "A", "b", "《a》", "《B》", "《a", "c"]
SLOTS = st.dictionaries(st.sampled_from(["inArea", "inWork"]), st.sampled_from(NAMES), max_size=2)
SPO = st.builds(
    lambda s, p, o, slots: Spo(s, p, o, tuple(sorted(slots.items()))),
    st.sampled_from(NAMES),
    st.sampled_from("pqP"),
    st.sampled_from(NAMES),
    SLOTS,
)
SENTENCES = st.lists(
    st.tuples(st.sampled_from("xyz"), st.lists(SPO, max_size=5), st.lists(SPO, max_size=5)), max_size=5
)
ALIASES = st.dictionaries(st.sampled_from("abc"), st.sets(st.sampled_from("abc")), max_size=3)


def counted(
    sentences: Iterable[tuple[str, list[Spo], list[Spo]]], alias: dict[str, set[str]] | None = None
) -> OfficialCounts:
    scorer = OfficialScorer(alias or {})
    for text, gold, predicted in sentences:
        scorer.add(text, gold, predicted)
    return scorer.counts()


class Naive:
    """Count by the rules as published, on dicts and lists."""

    def __init__(self, alias: dict[str, set[str]]) -> None:
        self.alias = alias

    def names(self, x: str) -> set[str]:
        return self.alias.get(x, set()) | {x}

    def plain(self, spo: Spo) -> dict[str, Any]:
        def clean(x: str) -> str:
            x = x.lower()
            return x[1:-1] if x.startswith("《") and x.endswith("》") else x

        values = {"@value": spo.object}
        for slot, value in spo.slots:
            values[slot] = value
        return {"s": clean(spo.subject), "p": spo.predicate, "o": {key: clean(value) for key, value in values.items()}}

    def equal_objects(self, a: dict[str, str], b: dict[str, str]) -> bool:
        for one_side, other_side in ((a, b), (b, a)):
            for key, value in one_side.items():
                if key not in other_side or other_side[key] not in self.names(value):
                    return False
        return True

    def is_in_list(self, target: dict[str, Any], some: list[dict[str, Any]]) -> bool:
        if target in some:
            return True
        for m in some:
            same = m["p"] == target["p"] and m["s"] in self.names(target["s"])
            if same and self.equal_objects(m["o"], target["o"]):
                return True
        return False

    def distinct(self, spos: list[Spo]) -> list[dict[str, Any]]:
        kept: list[dict[str, Any]] = []
        for spo in map(self.plain, spos):
            if not self.is_in_list(spo, kept):
                kept.append(spo)
        return kept

    def count(self, sentences: list[tuple[str, list[Spo], list[Spo]]]) -> OfficialCounts:
        gold = {text: self.distinct(spos) for text, spos, _ in sentences}
        predicted = {text: self.distinct(spos) for text, _, spos in sentences}
        return OfficialCounts(
            sum(map(len, gold.values())),
            sum(map(len, predicted.values())),
            sum(self.is_in_list(p, gold[text]) for text in gold for p in predicted[text]),
            sum(self.is_in_list(g, predicted[text]) for text in gold for g in gold[text]),
        )


@given(SENTENCES)
def test_without_aliases_sets_give_what_the_list_walk_gives(sentences: list[tuple[str, list[Spo], list[Spo]]]) -> None:
    counts = counted(sentences)
    assert counts == Naive({}).count(sentences)
    assert counts == counted(sentences, {"nobody": {"no one"}})  # uses the list walk


@given(SENTENCES, ALIASES)
def test_aliases_follow_the_written_rules(
    sentences: list[tuple[str, list[Spo], list[Spo]]], alias: dict[str, set[str]]
) -> None:
    assert counted(sentences, alias) == Naive(alias).count(sentences)


def one(gold: list[Spo], predicted: list[Spo], alias: dict[str, set[str]] | None = None) -> OfficialCounts:
    return counted([("t", gold, predicted)], alias)


@pytest.mark.parametrize(
    ("predicted", "correct"),
    [
        (Spo("Ann", "wrote", "《Home》"), 1),
        (Spo("《ANN》", "wrote", "home"), 1),
        (Spo("Ann", "Wrote", "Home"), 0),  # predicates keep their case
        (Spo("Ann", "wrote", "《Home"), 0),
        (Spo("Ann", "wrote", "《《Home》》"), 0),  # one pair of marks is removed
        (Spo("Ann", "wrote", "Home", (("inWork", "x"),)), 0),
    ],
)
def test_texts_are_compared_in_lower_case_and_without_title_marks(predicted: Spo, correct: int) -> None:
    assert one([Spo("Ann", "wrote", "Home")], [predicted]) == OfficialCounts(1, 1, correct, correct)


def test_all_slots_of_a_complex_object_must_be_right() -> None:
    gold = [Spo("f", "released", "2001", (("inArea", "China"),))]
    assert one(gold, [Spo("f", "released", "2001", (("inArea", "CHINA"),))]).correct == 1
    for slots in ((), (("inArea", "Peru"),), (("inWork", "China"),), (("inArea", "China"), ("inWork", "x"))):
        assert one(gold, [Spo("f", "released", "2001", slots)]).correct == 0


def test_duplicates_count_once_also_those_by_alias() -> None:
    spos = [Spo("a", "p", "x"), Spo("A", "p", "《x》"), Spo("b", "p", "x")]
    assert one(spos, []) == OfficialCounts(2, 0, 0, 0)
    assert one(spos, [], {"b": {"b", "a"}}).gold == 1
    assert one(spos, [], {"a": {"a", "b"}}).gold == 2  # read from the later one's names


def test_precision_and_recall_have_different_numerators() -> None:
    counts = one([Spo("a", "p", "x")], [Spo("b", "p", "x"), Spo("c", "p", "x")], {"b": {"a"}, "c": {"a"}, "a": {"b"}})
    assert counts == OfficialCounts(1, 2, 2, 1)
    assert (counts.precision, counts.recall, counts.f1) == (1, 1, 1)
    assert one([Spo("a", "p", "x")], [Spo("b", "p", "x")], {"b": {"a"}}) == OfficialCounts(1, 1, 1, 0)


def test_aliases_of_an_object_must_match_both_ways() -> None:
    pair = [Spo("s", "p", "x")], [Spo("s", "p", "y")]
    assert one(*pair, {"x": {"y"}}).correct == 0
    assert one(*pair, {"x": {"y"}, "y": {"x"}}) == OfficialCounts(1, 1, 1, 1)


def test_the_last_occurrence_of_a_text_counts() -> None:
    spo = Spo("a", "p", "x")
    assert counted([("t", [spo], [spo]), ("u", [spo], []), ("t", [spo], [])]) == OfficialCounts(2, 0, 0, 0)
    assert counted([("\ud800", [spo], [spo])]).correct == 1


def test_without_items_there_is_no_score() -> None:
    counts = counted([("t", [], [])])
    assert (counts.precision, counts.recall, counts.f1) == (0, 0, 0)
    assert OfficialCounts(4, 2, 1, 1).to_dict() == {
        "precision": 0.5,
        "recall": 0.25,
        "f1": pytest.approx(1 / 3, abs=1e-16),
        "gold": 4,
        "predicted": 2,
        "correct": 1,
        "recalled": 1,
    }


def test_triples_are_built_from_relations() -> None:
    film, year, area = Entity(0, 1, "Film"), Entity(2, 6, "Date"), Entity(7, 12, "Place")
    relations = [Relation(film, "released", year), Relation(year, "released.inArea", area)]
    document = Document("F 2001 China", [], relations)
    assert spos_of(document) == [Spo("F", "released", "2001", (("inArea", "China"),))]
    document.spos = [Spo("x", "p", "y")]
    assert spos_of(document) == [Spo("x", "p", "y")]
    document.spos = []
    assert spos_of(document) == []


def test_aliases_are_read_in_lower_case_and_a_later_line_replaces(tmp_path: Path) -> None:
    file = tmp_path / "alias.txt"
    file.write_text("Ann\tAnnie\tA. Lee\t\n\nBob\tRob\nann\tNan\n北京\t\n", encoding="utf-8")
    assert read_aliases(str(file)) == {"ann": {"ann", "nan"}, "bob": {"bob", "rob"}, "北京": {"北京"}}


@pytest.mark.parametrize(("line", "problem"), [("Ann Annie", "no tab"), ("\tAnnie", "no name before the first tab")])
def test_a_bad_line_of_aliases_is_reported_with_its_place(tmp_path: Path, line: str, problem: str) -> None:
    file = tmp_path / "alias.txt"
    file.write_text(f"Bob\tRob\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=f"alias.txt:2: {problem}") as caught:
        read_aliases(str(file))
    assert "tabs" in (caught.value.hint or "")
