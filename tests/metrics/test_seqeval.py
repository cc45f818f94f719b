"""The scores of seqeval equal ours if entities do not overlap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2

from ie_cli.document import Document, Entity
from ie_cli.errors import DataError
from ie_cli.formats.common.tag_schemes import bio_tags
from ie_cli.metrics.entities import EntityScorer, EntityScores

SIZE = 12
LABELS = ["LOC", "PER", "-", "A-B", "-A", "A-", "micro avg", "O", "_"]
"""Labels from which seqeval strips characters, or which it takes for an average."""
Pairs = list[tuple[Document, Document]]


@st.composite
def flat(draw: st.DrawFn) -> list[Entity]:
    """Draw entities that share no character, some of them adjacent."""
    cuts = sorted(draw(st.sets(st.integers(0, SIZE), max_size=7)))
    drawn = [Entity(a, b, draw(st.sampled_from(LABELS))) for a, b in zip(cuts, cuts[1:], strict=False)]
    return [entity for entity in drawn if draw(st.booleans())]


@st.composite
def corpora(draw: st.DrawFn) -> Pairs:
    """Draw gold, and predictions that have much in common with it."""
    made = []
    for _ in range(draw(st.integers(1, 4))):
        gold = draw(flat())
        kept = [entity for entity in gold if draw(st.booleans())]
        made.append((gold, kept if draw(st.booleans()) else draw(flat())))
    return [(Document("x" * SIZE, gold), Document("x" * SIZE, guess)) for gold, guess in made]


def scored(pairs: Pairs) -> EntityScores:
    scorer = EntityScorer(seqeval=True)
    for gold, predicted in pairs:
        scorer.add(gold, predicted)
    return scorer.scores()


@given(corpora())
def test_both_modes_agree_with_our_scores(pairs: Pairs) -> None:
    ours = scored(pairs)
    assert ours.seqeval is not None
    for mode in (ours.seqeval.default, ours.seqeval.strict):
        assert mode.labels.keys() == ours.labels.keys()
        for label, counts in ours.labels.items():
            assert mode.labels[label] == pytest.approx(
                (counts.precision, counts.recall, counts.f1, counts.gold), abs=1e-15
            )
        micro = ours.micro
        assert mode.averages["micro avg"] == pytest.approx(
            (micro.precision, micro.recall, micro.f1, micro.gold), abs=1e-15
        )
        assert mode.averages["macro avg"][2] == pytest.approx(ours.macro_f1, abs=1e-15)


@given(corpora())
def test_pieces_between_boundaries_score_like_characters(pairs: Pairs) -> None:
    """The strict F1 equals that of tags of single characters, which other tools use."""
    plain = [
        tuple(Document(side.text, [Entity(e.start, e.end, "LOC") for e in side.entities]) for side in pair)
        for pair in pairs
    ]
    rows = [
        [bio_tags(SIZE, [(e.start, e.end - 1, e.label) for e in pair[side].entities]) for pair in plain]
        for side in (0, 1)
    ]
    ours = scored([(gold, guess) for gold, guess in plain])
    assert ours.seqeval is not None
    if ours.labels:
        expected = f1_score(rows[0], rows[1], mode="strict", scheme=IOB2, zero_division=0)
        assert ours.seqeval.strict.averages["micro avg"][2] == expected


def test_json_has_the_names_of_seqeval_and_keeps_labels_apart() -> None:
    gold = Document("abcd", [Entity(0, 1, "micro avg"), Entity(1, 2, "X")])
    fields = scored([(gold, Document("abcd", [Entity(0, 1, "micro avg"), Entity(2, 3, "X")]))]).to_dict()["seqeval"]
    assert fields["default"] == fields["strict"]
    strict = fields["strict"]
    assert strict["labels"]["micro avg"] == {"precision": 1.0, "recall": 1.0, "f1-score": 1.0, "support": 1}
    assert strict["labels"]["X"] == {"precision": 0.0, "recall": 0.0, "f1-score": 0.0, "support": 1}
    assert strict["micro avg"] == {"precision": 0.5, "recall": 0.5, "f1-score": 0.5, "support": 2}
    assert strict["weighted avg"]["support"] == 2


def test_the_tables_are_ours_and_one_per_mode() -> None:
    document = Document("ab", [Entity(0, 1, "X")])
    tables = scored([(document, document)]).tables()
    assert [table.title for table in tables] == ["", "seqeval, default mode", "seqeval, strict mode (IOB2)"]
    assert tables[2].rows == (("X", (1.0, 1.0, 1.0, 1)),)
    assert [name for name, _ in tables[2].summary] == ["micro avg", "macro avg", "weighted avg"]


def test_without_an_entity_there_is_nothing_to_average() -> None:
    report = scored([(Document("ab"), Document("ab"))]).seqeval
    assert report is not None
    assert report.strict.labels == {}
    assert set(report.strict.averages.values()) == {(0.0, 0.0, 0.0, 0)}


@pytest.mark.parametrize(
    ("gold", "predicted", "message", "hint"),
    [
        ([(0, 3), (1, 2)], [], "g:1: gold entities overlap: 'X' 0-3 and 'X' 1-2; seqeval", "omit --scorer"),
        ([(0, 1)], [(0, 2), (1, 3)], "p:1: predicted entities overlap: 'X' 0-2 and 'X' 1-3; seqeval", "--flat"),
    ],
)
def test_entities_that_overlap_are_refused(
    gold: list[tuple[int, int]], predicted: list[tuple[int, int]], message: str, hint: str
) -> None:
    sides = [[Entity(*span, "X") for span in spans] for spans in (gold, predicted)]
    with pytest.raises(DataError) as error:
        scored([(Document("abcd", sides[0], where="g:1"), Document("abcd", sides[1], where="p:1"))])
    assert error.value.message.startswith(message)
    assert hint in str(error.value.hint)


def test_one_span_twice_counts_once_and_with_two_labels_overlaps() -> None:
    twice = Document("ab", [Entity(0, 1, "X"), Entity(0, 1, "X")])
    report = scored([(twice, twice)]).seqeval
    assert report is not None
    assert report.strict.averages["micro avg"] == (1.0, 1.0, 1.0, 1)
    with pytest.raises(DataError, match="gold entities overlap"):
        scored([(Document("ab", [Entity(0, 1, "X"), Entity(0, 1, "Y")]), Document("ab"))])
