from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.document import Document, Entity
from ie_cli.metrics.entity_errors import KINDS, EntityErrors, ErrorCase, excerpt

TEXT = "abcdefgh"
SPAN = st.builds(
    lambda a, n, label: Entity(a, min(8, a + n), label), st.integers(0, 7), st.integers(1, 4), st.sampled_from("XYZ")
)
ENTITIES = st.lists(SPAN, max_size=6)


def analysed(gold: list[Entity], predicted: list[Entity]) -> EntityErrors:
    found = EntityErrors(keep=100)
    found.add(Document(TEXT, gold), Document(TEXT, predicted))
    return found


@given(ENTITIES, ENTITIES)
def test_every_entity_is_counted_exactly_once(gold: list[Entity], predicted: list[Entity]) -> None:
    found = analysed(gold, predicted)
    paired = found.counts["correct"] + found.counts["label"] + found.counts["boundary"] + found.counts["both"]
    assert paired + found.counts["missed"] == len(set(gold))
    assert paired + found.counts["invented"] == len(set(predicted))
    cases = [case for some in found.samples.values() for case in some]
    assert sorted(s.gold for s in cases if s.gold) == sorted(set(gold) - set(predicted))
    assert sorted(s.predicted for s in cases if s.predicted) == sorted(set(predicted) - set(gold))
    assert found.confusions.total() == found.counts["label"] + found.counts["both"]
    for case in cases:
        assert case.kind == kind_of(case.gold, case.predicted)
    # Unpaired items of one side do not overlap unpaired items of the other.
    for a in found.samples.get("missed", []):
        assert not any(overlap(a.gold, b.predicted) for b in found.samples.get("invented", []))


def overlap(a: Entity | None, b: Entity | None) -> bool:
    assert a
    assert b
    return min(a.end, b.end) > max(a.start, b.start)


def kind_of(gold: Entity | None, predicted: Entity | None) -> str:
    if gold is None or predicted is None:
        return "missed" if gold else "invented"
    assert overlap(gold, predicted)
    if (gold.start, gold.end) == (predicted.start, predicted.end):
        return "label"
    return "boundary" if gold.label == predicted.label else "both"


@pytest.mark.parametrize(
    ("gold", "predicted", "kind"),
    [
        (Entity(0, 2, "X"), Entity(0, 2, "Y"), "label"),
        (Entity(0, 2, "X"), Entity(0, 3, "X"), "boundary"),
        (Entity(0, 2, "X"), Entity(1, 3, "Y"), "both"),
    ],
)
def test_kinds(gold: Entity, predicted: Entity, kind: str) -> None:
    found = analysed([gold], [predicted])
    assert {name: found.counts[name] for name in KINDS} == {name: int(name == kind) for name in KINDS}


def test_the_best_overlap_is_paired_whatever_the_order() -> None:
    gold = [Entity(0, 4, "X"), Entity(4, 6, "Y")]
    for predicted in permutations([Entity(0, 3, "X"), Entity(3, 6, "Y"), Entity(2, 5, "X")]):
        found = analysed(gold, list(predicted))
        pairs = {(case.gold, case.predicted) for case in found.samples["boundary"]}
        assert pairs == {(gold[0], Entity(0, 3, "X")), (gold[1], Entity(3, 6, "Y"))}
        assert found.counts["invented"] == 1


def test_a_sample_is_bounded_and_every_error_may_be_in_it() -> None:
    found = EntityErrors(keep=2)
    for n in range(300):
        found.add(Document("ab", [Entity(0, 1, "X")], where=f"x:{n}"), Document("ab"))
    assert found.counts["missed"] == 300
    assert len(found.samples["missed"]) == 2
    assert any(int(str(case.document.where)[2:]) > 10 for case in found.samples["missed"])


def test_an_error_is_described_with_its_place_and_context() -> None:
    text = "0123456789abcdefghij\nklmnopqrstuvwxyz"
    case = ErrorCase("boundary", Document(text, where="d.jsonl:7"), Entity(18, 20, "X"), Entity(18, 22, "Y"))
    assert case.describe(4) == "d.jsonl:7: …efghij⏎klmno…; gold 'ij' X; predicted 'ij\\nk' Y"
    missed = ErrorCase("missed", Document("Anna", where="d:1"), Entity(0, 4, "PER"), None)
    assert missed.describe() == "d:1: Anna; gold 'Anna' PER; predicted nothing"


@given(ENTITIES, ENTITIES)
def test_a_record_marks_what_each_side_has(gold: list[Entity], predicted: list[Entity]) -> None:
    found = analysed(gold, predicted)
    for case in (case for some in found.samples.values() for case in some):
        record = case.record()
        assert (record.kind, record.line, record.text) == (case.kind, case.describe(), TEXT)
        sides = {"gold": case.gold, "predicted": case.predicted}
        assert record.marks == tuple((e.start, e.end, side) for side, e in sides.items() if e is not None)
        assert [record.gold is None, record.predicted is None] == [side is None for side in sides.values()]


def test_the_counts_have_the_words_they_are_printed_with() -> None:
    found = analysed([Entity(0, 2, "X")], [Entity(0, 2, "Y")])
    assert dict(found.kinds) == {
        "label": "wrong label",
        "boundary": "wrong boundary",
        "both": "wrong boundary and label",
        "missed": "missed",
        "invented": "invented",
    }
    assert found.counts.keys() - {"correct"} <= found.kinds.keys()


@given(st.text("ab ", max_size=600), st.lists(st.tuples(st.integers(0, 600), st.integers(1, 30)), max_size=4))
def test_an_excerpt_holds_its_spans_and_little_else(text: str, drawn: list[tuple[int, int]]) -> None:
    spans = [(start, min(len(text), start + size)) for start, size in drawn if start < len(text)]
    shown, places = excerpt(text, spans)
    assert [shown[start:end] for start, end in places] == [text[start:end] for start, end in spans]
    assert len(shown) <= sum(end - start + 123 for start, end in spans or [(0, 0)])
    assert shown.startswith("…") or text.startswith(shown[:60])


def test_the_place_of_an_error_is_its_line_or_id() -> None:
    for document, where in (
        (Document("ab", where="f:1", id=3), "f:1"),
        (Document("ab", id=0), "0"),
        (Document("ab"), ""),
    ):
        assert ErrorCase("missed", document, Entity(0, 1, "X"), None).record().where == where
