"""Places where a model contradicts the annotation: their kinds, their order, and what is said about them."""

from __future__ import annotations

from ie_cli.doctor.suspects import SHOWN, Suspects
from ie_cli.document import Document, Entity

TEXT = "Ann Hill met Bo in Wien"
ANN, HILL, BO, WIEN = Entity(0, 3, "person"), Entity(0, 8, "person"), Entity(13, 15, "person"), Entity(19, 23, "place")


def scored(entity: Entity, score: float, label: str | None = None) -> Entity:
    return Entity(entity.start, entity.end, label or entity.label, score)


def compare(*pairs: tuple[list[Entity], list[Entity]]) -> Suspects:
    suspects = Suspects()
    for number, (gold, predicted) in enumerate(pairs, 1):
        suspects.add(Document(TEXT, gold, where=f"f:{number}"), Document(TEXT, predicted))
    return suspects


def kinds(*pairs: tuple[list[Entity], list[Entity]]) -> list[tuple[str, str, float]]:
    return [(one.kind, one.where, round(one.margin, 2)) for one in compare(*pairs).ranked()]


def test_each_kind_is_recognised_and_ranked_by_its_margin() -> None:
    assert kinds(
        ([WIEN], [scored(WIEN, 0.95, "person"), scored(WIEN, 0.1)]),
        ([ANN], [scored(HILL, 0.99), scored(ANN, 0.02)]),
        ([], [scored(BO, 0.7)]),
    ) == [("wrong boundary", "f:2", 0.97), ("wrong label", "f:1", 0.85), ("missing", "f:3", 0.7)]


def test_an_entity_that_is_found_elsewhere_but_not_here_is_spurious() -> None:
    found = [([BO], [scored(BO, 0.9)])] * 3
    assert kinds(*found, ([BO], [])) == [("spurious", "f:4", 0.75)]
    # Nothing is said about a label that the model does not find anyway.
    assert kinds(([WIEN], []), ([WIEN], []), *found) == []
    assert kinds(*found, ([BO], [scored(BO, 0.3)])) == [("spurious", "f:4", 0.52)]


def test_agreement_and_unsure_predictions_are_no_suspects() -> None:
    assert kinds(([HILL, WIEN], [scored(HILL, 0.9), scored(WIEN, 0.8), scored(ANN, 0.6)])) == []
    assert kinds(([], [scored(BO, 0.2)])) == []
    assert kinds(([ANN], [scored(HILL, 0.6), scored(ANN, 0.4)]), ([ANN], [scored(ANN, 0.9)])) == []


def test_a_prediction_that_touches_an_entity_is_not_missing() -> None:
    assert [kind for kind, *_ in kinds(([ANN], [scored(HILL, 0.9)]))] == ["wrong boundary"]
    assert kinds(([ANN], [scored(HILL, 0.9), scored(ANN, 0.9)])) == []


def test_places_are_shown_with_both_sides_and_the_score_of_the_models() -> None:
    suspects = compare(([WIEN], [scored(WIEN, 0.95, "person")]), ([], [scored(BO, 0.7)]), ([WIEN], [scored(WIEN, 0.9)]))
    [finding] = suspects.findings("train", folds=5)
    assert finding.kind == "note"
    assert f"{suspects.f1:.2f}" == "0.40"  # one of two entities is found, with three predictions
    assert (
        "(F1 0.40) contradict the annotation in 2 places, which may be errors: wrong label 1, missing 1"
        in finding.message
    )
    assert finding.details == [
        "f:1: wrong label (0.95): annotated place 'Wien', model person 'Wien', in 'met Bo in Wien'",
        "f:2: missing (0.70): model person 'Bo', in ' Hill met Bo in Wien'",
    ]


def test_many_places_are_cut_and_none_is_said() -> None:
    [finding] = compare(*[([], [scored(BO, 0.7)])] * (SHOWN + 1)).findings("train", folds=2)
    assert len(finding.details) == SHOWN
    assert f"missing {SHOWN + 1}; the first {SHOWN}" in finding.message
    [finding] = compare(([BO], [scored(BO, 0.9)])).findings("train", folds=2)
    assert finding.message.endswith("nowhere contradict the annotation clearly")
