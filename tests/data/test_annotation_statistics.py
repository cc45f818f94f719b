"""What annotated data contain, against plain counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.data.annotation_statistics import AnnotationStatistics, Distribution, _overlaps
from ie_cli.document import Argument, Document, Entity, Event, Relation, Spo

TEXT = "Ann Lee met Bob in New Rome 北京"
ANN, BOB, ROME = Entity(0, 7, "person"), Entity(12, 15, "person"), Entity(19, 27, "city")


def counted(*documents: Document) -> AnnotationStatistics:
    statistics = AnnotationStatistics()
    for document in documents:
        statistics.add(document)
    return statistics


@given(st.lists(st.integers(0, 50), min_size=1), st.sampled_from([50, 90, 99]))
def test_percentiles_are_those_of_numpy(values: list[int], percent: int) -> None:
    distribution = Distribution(values)
    assert distribution.percentile(percent) == np.percentile(values, percent, method="inverted_cdf")
    assert distribution.mean() == pytest.approx(np.mean(values))


def test_a_distribution_without_values_has_none() -> None:
    assert set(Distribution().to_dict().values()) == {None}


SPANS = st.sets(
    st.tuples(st.integers(0, 9), st.integers(1, 9)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=7
)


@given(SPANS)
def test_nesting_and_crossing_are_those_of_all_pairs(spans: set[tuple[int, int]]) -> None:
    inside = {a: [b for b in spans if b != a and b[0] <= a[0] and a[1] <= b[1]] for a in spans}
    crossing = {a for a in spans for b in spans if a[0] < b[0] < a[1] < b[1] or b[0] < a[0] < b[1] < a[1]}
    nested = sum(bool(others) for others in inside.values())
    depth = max((len(others) + 1 for others in inside.values()), default=0)
    assert _overlaps(spans) == (nested, depth, len(crossing))


def test_entities_and_relations_are_counted_by_label() -> None:
    statistics = counted(
        Document(TEXT, [ANN, BOB, ROME, Entity(23, 27, "city"), Entity(0, 7, "name")], [Relation(ANN, "met", BOB)]),
        Document("", []),
        Document(TEXT, [ANN], [Relation(ANN, "met", BOB), Relation(BOB, "in", ROME)]),
    )
    fields = statistics.to_dict()
    assert (fields["documents"], fields["without_annotation"]) == (3, 1)
    assert fields["tokens"]["max"] == 9  # 7 words and 2 characters
    assert fields["characters"]["sum"] == 2 * len(TEXT)
    entities = fields["entities"]
    assert (entities["nested"], entities["depth"], entities["crossing"], entities["spans_with_several_labels"]) == (
        1,
        2,
        0,
        1,
    )
    assert entities["labels"]["city"] == {
        "number": 3,
        "documents": 2,
        "characters": {"mean": pytest.approx(20 / 3), "min": 4, "p50": 8, "p90": 8, "p99": 8, "max": 8},
    }
    met = fields["relations"]["predicates"]["met"]
    assert (met["number"], met["documents"], met["types"]) == (2, 2, [["person", "person", 2]])
    assert met["characters_between"]["max"] == 5
    assert fields["relations"]["characters"]["max"] == 15


def test_triples_without_offsets_events_and_pairs_are_counted() -> None:
    fields = counted(
        Document(TEXT, spos=[Spo("Ann Lee", "met", "Bob"), Spo("Bob", "met", "Eve", subject_type="person")]),
        Document(TEXT, events=[Event("trip", None, (Argument("to", ROME),)), Event("trip", (8, 11))]),
        Document("a", text_pair="b", label="1", score=2.5),
        Document("a", text_pair="c", score=1.0),
        Document("a", text_pair="c"),
    ).to_dict()
    assert (fields["relations"]["number"], fields["relations"]["without_offsets"]) == (2, 2)
    assert ["person", "", 1] in fields["relations"]["predicates"]["met"]["types"]
    assert fields["events"] == {"number": 2, "types": {"trip": 2}, "roles": [["trip", "to", 1]]}
    assert fields["pairs"] == {"number": 3, "classes": {"1": 1}, "scores": [1.0, 2.5]}
    assert fields["without_annotation"] == 1
