"""Places where a model contradicts the annotation: their kinds, their order, and what is said about them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ie_cli.doctor.mention_counts import MentionCounts
from ie_cli.doctor.suspects import LEAST, LOWEST, SHOWN, Suspects
from ie_cli.document import Document, Entity

TEXT = "Ann Hill met Bo in Wien"
ANN, HILL, BO, WIEN = Entity(0, 3, "person"), Entity(0, 8, "person"), Entity(13, 15, "person"), Entity(19, 23, "place")
Pair = tuple[list[Entity], list[Entity]]


def scored(entity: Entity, score: float, label: str | None = None) -> Entity:
    return Entity(entity.start, entity.end, label or entity.label, score)


def compare(*pairs: Pair, text: str = TEXT, kept: int = SHOWN) -> Suspects:
    golds = [Document(text, gold, where=f"f:{number}") for number, (gold, _) in enumerate(pairs, 1)]
    suspects = Suspects(MentionCounts.of(lambda: golds), kept)
    for gold, (_, predicted) in zip(golds, pairs, strict=True):
        suspects.add(gold, Document(text, predicted))
    return suspects


def kinds(*pairs: Pair) -> list[tuple[str, str, float]]:
    return [(one.kind, one.where, round(one.score, 2)) for one in compare(*pairs).ranked()]


def log_odds(p: float) -> float:
    return math.log(p / (1 - p))


def test_each_kind_is_recognised_and_ranked_by_its_log_odds() -> None:
    assert kinds(
        ([WIEN], [scored(WIEN, 0.95, "person"), scored(WIEN, 0.1)]),
        ([ANN], [scored(HILL, 0.99), scored(ANN, 0.02)]),
    ) == [
        ("wrong boundary", "f:2", round(log_odds(0.99) - log_odds(0.02), 2)),
        ("wrong label", "f:1", round(log_odds(0.95) - log_odds(0.1), 2)),
    ]
    assert kinds(([BO], [scored(BO, 0.9)]), ([], [scored(BO, 0.7)])) == [
        ("missing", "f:2", round(2 * log_odds(0.7) + math.log(3), 2))
    ]


def test_the_same_string_elsewhere_speaks_for_a_version() -> None:
    usual, odd = scored(WIEN, 0.0), scored(WIEN, 0.0, "person")
    seen = [scored(WIEN, 0.9), scored(WIEN, 0.2, "person")]
    [(_, _, alone)] = kinds(([odd], seen))
    [(_, where, supported)] = kinds(*[([usual], seen)] * 3, ([odd], seen))
    assert where == "f:4"
    assert supported - alone == pytest.approx(math.log(3.5 / 0.5), abs=0.01)
    [(_, _, contradicted)] = kinds(*[([odd], [odd, scored(WIEN, 0.99, "person")])] * 3, ([odd], seen))
    assert contradicted < alone  # the annotation is the usual one


def test_an_entity_that_is_found_elsewhere_but_not_here_is_spurious() -> None:
    found: list[Pair] = [([ANN], [scored(ANN, 0.9)])] * 3
    # One of four entities with the label is not found, and its string is without annotation in three other places.
    assert kinds(*found, ([BO], [])) == [("spurious", "f:4", round(math.log(4) + math.log(3.5 / 0.5), 2))]
    # The annotation of the same string elsewhere speaks for it; nothing is said about a label that is not found anyway.
    assert kinds(*[([BO], [scored(BO, 0.9)])] * 3, ([BO], [])) == []
    assert kinds(([WIEN], []), ([WIEN], []), *found) == []


TIMES = "the New York Times said, The Times of Rome said"


def test_a_part_of_a_name_says_no_more_than_nothing() -> None:
    def span(mention: str, label: str = "paper", score: float | None = None) -> Entity:
        start = TIMES.index(mention)
        return Entity(start, start + len(mention), label, score)

    def ranked(*pairs: Pair) -> list[tuple[str, float, bool]]:
        found = compare(*pairs, text=TIMES).ranked()
        return [(one.kind, round(one.score, 2), one.predicted is not None) for one in found]

    whole, found = span("New York Times"), [([span("The Times of Rome")], [span("The Times of Rome", score=0.9)])] * 2
    said = math.log(3) + math.log(
        2.5 / 0.5
    )  # two of three papers are found; two places of the string have no annotation
    assert ranked(*found, ([whole], [])) == [("spurious", round(said, 2), False)]
    for part in ("York", "New York", "York Times"):
        expected = len(part) < 10  # what is left out has more than three letters
        [(kind, score, shown)] = ranked(*found, ([whole], [span(part, score=0.99)]))
        assert (kind, shown) == ("wrong boundary", True)
        assert (score == round(said, 2)) == expected
        [(kind, score, shown)] = ranked(*found, ([whole], [span(part, "place", 0.99)]))
        assert (kind, shown) == (("spurious", False) if expected else ("wrong boundary", True))
    # Half a word, another word beside it or an article are errors of a boundary.
    for gold, model in (("ork Times", "New York"), ("New York Times said", "York Times"), ("the New York", "New York")):
        [(kind, score, _)] = ranked(*found, ([span(gold)], [span(model, score=0.99)]))
        assert (kind, score > 8) == ("wrong boundary", gold != "New York Times said")


def test_agreement_and_unsure_predictions_are_no_suspects() -> None:
    assert kinds(([HILL, WIEN], [scored(HILL, 0.9), scored(WIEN, 0.8), scored(ANN, 0.6)])) == []
    assert kinds(([], [scored(BO, 0.2)])) == []
    assert kinds(([ANN], [scored(HILL, 0.6), scored(ANN, 0.4)]), ([ANN], [scored(ANN, 0.9)])) == []


def test_a_place_is_listed_once() -> None:
    assert [kind for kind, *_ in kinds(([ANN], [scored(HILL, 0.9)]))] == ["wrong boundary"]
    assert kinds(([ANN], [scored(HILL, 0.9), scored(ANN, 0.9)])) == []
    # The long prediction is as far from one entity as from the other, and one of two overlapping predictions is missing.
    both = Entity(0, 15, "person")
    assert len(kinds(([ANN, BO], [scored(both, 0.9)]))) == 1
    assert len(kinds(([], [scored(both, 0.9), scored(HILL, 0.8)]))) == 1


def test_places_are_shown_with_their_reasons_and_the_score_of_the_models() -> None:
    suspects = compare(
        ([WIEN], [scored(WIEN, 0.95, "person")]),
        ([BO], [scored(BO, 0.9)]),
        ([], [scored(BO, 0.7)]),
        ([WIEN], [scored(WIEN, 0.9)]),
    )
    [finding] = suspects.findings("train", folds=5)
    assert finding.kind == "note"
    assert f"{suspects.f1:.2f}" == "0.57"  # two of three entities are found, with four predictions
    assert (
        "(F1 0.57) contradict the annotation in 2 places, which may be errors: wrong label 1, missing 1"
        in finding.message
    )
    # Bo has no annotation in two other places.
    assert finding.details == [
        "f:1: wrong label (8.1): annotated place 'Wien' (0.00; 1 elsewhere), model person 'Wien' (0.95; 0 elsewhere), "
        "in 'met Bo in Wien'",
        "f:3: missing (1.2): model person 'Bo' (0.70; 1 elsewhere, 2 otherwise), in ' Hill met Bo in Wien'",
    ]


def test_many_places_are_cut_and_none_is_said() -> None:
    [finding] = compare(*[([], [scored(BO, 0.7)])] * (SHOWN + 1)).findings("train", folds=2)
    assert len(finding.details) == SHOWN
    assert f"missing {SHOWN + 1}; the first {SHOWN}" in finding.message
    [finding] = compare(([BO], [scored(BO, 0.9)])).findings("train", folds=2)
    assert finding.message.endswith("nowhere contradict the annotation clearly")


LETTERS = "ab ab cd ab"


@st.composite
def spans(draw: st.DrawFn) -> list[Entity]:
    found = set()
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(LETTERS) - 1))
        found.add(Entity(start, draw(st.integers(start + 1, len(LETTERS))), draw(st.sampled_from("xy"))))
    return [scored(one, draw(st.sampled_from([0.0, 0.1, 0.4, 0.5, 0.6, 0.9, 1.0]))) for one in sorted(found)]


WITHIN = {1, 4, 7, 10}
"""The positions in a word of `LETTERS`."""


def leaves_out(part: Entity, whole: Entity) -> bool:
    """Return whether a span leaves out more than three letters of another one, in whole words, and adds none."""
    letters = {at for at, letter in enumerate(LETTERS) if letter != " "}
    own, other = letters & set(range(part.start, part.end)), letters & set(range(whole.start, whole.end))
    before, after = {at for at in other if at < part.start}, {at for at in other if at >= part.end}
    if own - other or len(before | after) <= 3:
        return False
    return not any(side and WITHIN & {min(side), max(side) + 1} for side in (before, after))


def reference(pairs: list[Pair]) -> list[tuple[float, str, str]]:
    """Score every place by the formula, from lists of all entities; return scores, places and kinds in their order."""
    counts = MentionCounts.of(lambda: [Document(LETTERS, gold) for gold, _ in pairs])

    def term(one: Entity, *, here: bool) -> tuple[int, int]:
        text = LETTERS[one.start : one.end]
        so, other = counts.annotated(text, one.label), counts.otherwise(text, one.label)
        return max(0, so - here), max(0, other - (not here))

    def logit(p: float) -> float:
        return log_odds(min(max(p, LOWEST), 1 - LOWEST))

    golds = [(one, {p: p.score or 0 for p in predicted}.get(one, 0)) for gold, predicted in pairs for one in set(gold)]
    recall = {
        label: sum(p >= 0.5 for one, p in golds if one.label == label) / max(1, sum(o.label == label for o, _ in golds))
        for label in "xy"
    }
    found: list[tuple[float, str, str]] = []
    for number, (gold, predicted) in enumerate(pairs, 1):
        where, p = f"f:{number}", {one: one.score or 0.0 for one in predicted}
        better = [one for one in predicted if p[one] >= 0.5 and one not in gold]
        places: list[tuple[float, str, set[int]]] = []
        for one in sorted(set(gold)):
            area = set(range(one.start, one.end))
            rivals = [b for b in sorted(better) if area & set(range(b.start, b.end))]
            if p.get(one, 0) >= 0.5:
                continue
            so, other = term(one, here=True)
            for b in (b for b in rivals if not leaves_out(b, one)):
                s = logit(p[b]) - logit(p.get(one, 0)) + math.log((term(b, here=False)[0] + 0.5) / (so + 0.5))
                kind = "wrong label" if (b.start, b.end) == (one.start, one.end) else "wrong boundary"
                places.append((s, kind, area | set(range(b.start, b.end))))
            parts, rivals = [b for b in rivals if leaves_out(b, one)], [b for b in rivals if not leaves_out(b, one)]
            if not rivals:
                kind = "wrong boundary" if any(b.label == one.label for b in parts) else "spurious"
                missed = -math.log(max(LOWEST, 1 - recall[one.label]))
                found.append((missed + math.log((other + 0.5) / (so + 0.5)), where, kind))
        for b in sorted(better):
            area = set(range(b.start, b.end))
            if not any(area & set(range(one.start, one.end)) for one in gold):
                so, other = term(b, here=False)
                places.append((2 * logit(p[b]) + math.log((so + 0.5) / (other + 0.5)), "missing", area))
        taken: set[int] = set()
        for s, kind, area in sorted(places, key=lambda place: -place[0]):
            if not taken & area:
                taken |= area
                found.append((s, where, kind))
    return sorted((one for one in found if one[0] >= LEAST), key=lambda one: (-one[0], one[1], one[2]))


@settings(max_examples=150)
@given(st.lists(st.tuples(spans(), spans()), max_size=6), st.integers(1, 4))
def test_the_ranking_is_that_of_the_formula_however_few_places_are_kept(pairs: list[Pair], kept: int) -> None:
    expected = reference(pairs)
    suspects = compare(*pairs, text=LETTERS, kept=1000)
    found = [(one.score, one.where, one.kind) for one in suspects.ranked()]
    assert [one[0] for one in found] == pytest.approx([one[0] for one in expected])
    assert sorted((where, kind) for _, where, kind in found) == sorted((where, kind) for _, where, kind in expected)
    assert suspects.counts().total() == len(expected)
    few = compare(*pairs, text=LETTERS, kept=kept)
    assert [one.score for one in few.ranked()[:kept]] == pytest.approx([one[0] for one in expected[:kept]])
    assert few.counts() == suspects.counts()
