from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.document import Document, Entity, Relation, Spo
from ie_cli.metrics.relation_errors import RELATION_KINDS, RelationErrorCase, RelationErrors
from ie_cli.metrics.relations import Argument, Item, Match, RelationScorer

TEXT = "abcabcab"
ENTITY = st.builds(
    lambda a, n, label: Entity(a, min(8, a + n), label), st.integers(0, 7), st.integers(1, 4), st.sampled_from("XY")
)
RELATIONS = st.lists(st.builds(Relation, ENTITY, st.sampled_from("pq"), ENTITY), max_size=6)
WORD = st.text("abc", max_size=4)
SPOS = st.lists(st.builds(Spo, WORD, st.sampled_from("pq"), WORD), max_size=6)


def analysed(gold: Document, predicted: Document, match: Match | None = None) -> RelationErrors:
    found = RelationErrors(keep=100, match=match)
    found.add(gold, predicted)
    return found


def conserved(found: RelationErrors, gold: Document, predicted: Document, match: Match | None) -> None:
    scorer = RelationScorer(match=match)
    scorer.add(gold, predicted)
    counts, micro = found.counts, scorer.scores().micro
    paired = counts["correct"] + counts["predicate"] + counts["type"] + counts["boundary"]
    assert (paired + counts["missed"], paired + counts["invented"]) == (micro.gold, micro.predicted)
    assert counts["correct"] == micro.correct
    cases = [case for some in found.samples.values() for case in some]
    golds, guesses = [s.gold for s in cases if s.gold], [s.predicted for s in cases if s.predicted]
    assert len(golds) == len(set(golds)) == micro.gold - micro.correct
    assert len(guesses) == len(set(guesses)) == micro.predicted - micro.correct
    assert found.confusions.total() == counts["predicate"]
    for case in cases:
        assert case.kind == kind_of(case.gold, case.predicted)
    for a in found.samples.get("missed", []):  # whatever is left could not be paired
        for b in found.samples.get("invented", []):
            assert a.gold
            assert b.predicted
            assert not related(a.gold, b.predicted)


def overlap(a: Argument, b: Argument) -> bool:
    if a == b:
        return True
    if isinstance(a, str) or isinstance(b, str):
        assert isinstance(a, str)
        assert isinstance(b, str)
        shorter = min(len(a), len(b))
        pieces = {a[i:j] for i in range(len(a)) for j in range(i + 1, len(a) + 1)}
        return any(piece in b and 2 * len(piece) >= shorter for piece in pieces)
    return min(a[1], b[1]) > max(a[0], b[0])


def related(a: Item, b: Item) -> bool:
    if (a.subject, a.object) == (b.subject, b.object):
        return True
    return a.predicate == b.predicate and overlap(a.subject, b.subject) and overlap(a.object, b.object)


def kind_of(gold: Item | None, predicted: Item | None) -> str:
    if gold is None or predicted is None:
        return "missed" if gold else "invented"
    assert related(gold, predicted)
    if (gold.subject, gold.object) != (predicted.subject, predicted.object):
        return "boundary"
    return "predicate" if gold.predicate != predicted.predicate else "type"


@given(RELATIONS, RELATIONS, st.sampled_from([None, "strict", "boundaries", "text"]))
def test_every_triple_is_counted_exactly_once(
    gold: list[Relation], predicted: list[Relation], match: Match | None
) -> None:
    truth, guess = Document(TEXT, [], gold), Document(TEXT, [], predicted)
    found = analysed(truth, guess, match)
    conserved(found, truth, guess, match)
    assert match in (None, "strict") or not found.counts["type"]
    backwards = analysed(Document(TEXT, [], gold[::-1]), Document(TEXT, [], predicted[::-1]), match)
    assert backwards.counts == found.counts
    assert backwards.samples == {
        kind: [
            RelationErrorCase(case.kind, Document(TEXT, [], gold[::-1]), case.gold, case.predicted) for case in cases
        ]
        for kind, cases in found.samples.items()
    }


@given(SPOS, RELATIONS | SPOS)
def test_triples_of_texts_are_counted_exactly_once(gold: list[Spo], predicted: list[Relation] | list[Spo]) -> None:
    truth, guess = Document(TEXT, spos=gold), Document(TEXT)
    relations = [item for item in predicted if isinstance(item, Relation)]
    spos = [item for item in predicted if isinstance(item, Spo)]
    guess = Document(TEXT, [], relations, spos=spos or None)
    found = analysed(truth, guess)
    conserved(found, truth, guess, None)
    for cases in found.samples.values():
        for case in cases:
            assert case.describe()


A, B, WIDE = Entity(0, 2, "X"), Entity(3, 5, "Y"), Entity(3, 6, "Y")
GOLD = Relation(A, "p", B)


@pytest.mark.parametrize(
    ("predicted", "strict", "boundaries", "text"),
    [
        (GOLD, "", "", ""),
        (Relation(A, "q", B), "predicate", "predicate", "predicate"),
        (Relation(A, "p", Entity(3, 5, "Z")), "type", "", ""),
        (Relation(A, "q", Entity(3, 5, "Z")), "predicate", "predicate", "predicate"),
        (Relation(A, "p", WIDE), "boundary", "boundary", "boundary"),
        (Relation(Entity(1, 2, "Z"), "p", WIDE), "boundary", "boundary", "boundary"),
        (Relation(A, "q", WIDE), "apart", "apart", "apart"),  # two mistakes are two errors
        (Relation(B, "p", A), "apart", "apart", ""),  # "ab" occurs at both places
        (Relation(A, "p", Entity(2, 3, "Y")), "apart", "apart", "apart"),
    ],
)
def test_kinds(predicted: Relation, strict: str, boundaries: str, text: str) -> None:
    ways: list[tuple[Match, str]] = [("strict", strict), ("boundaries", boundaries), ("text", text)]
    for match, kind in ways:
        found = analysed(Document(TEXT, [], [GOLD]), Document(TEXT, [], [predicted]), match)
        kinds = {"": (), "apart": ("missed", "invented")}.get(kind, (kind,))
        assert {name: found.counts[name] for name in RELATION_KINDS} == {
            name: int(name in kinds) for name in RELATION_KINDS
        }
        assert found.counts["correct"] == (kind == "")


@pytest.mark.parametrize(
    ("gold", "predicted", "kind"),
    [
        ("Anna", "Anna", "correct"),
        ("Anna", "Anna Lee", "boundary"),
        ("Anna Lee", "Miss Anna", "boundary"),
        ("abXY", "abZW", "boundary"),  # half of the shorter one
        ("abXYQ", "abZWQ", "missed"),
        ("Anna", "Bo", "missed"),
        ("", "Bo", "missed"),
    ],
)
def test_texts_overlap_by_what_they_share(gold: str, predicted: str, kind: str) -> None:
    for swap in (False, True):
        spos = [Spo(name, "p", "o") if swap else Spo("s", "p", name) for name in (gold, predicted)]
        found = analysed(Document("", spos=[spos[0]]), Document("", spos=[spos[1]]))
        assert found.counts[kind] == 1


def test_guessed_offsets_are_compared_by_text_whatever_the_option() -> None:
    gold = Document("ab ab c", [], [Relation(Entity(0, 2, "X"), "p", Entity(6, 7, "X"))], spos=[Spo("ab", "p", "c")])
    predicted = Document("ab ab c", [], [Relation(Entity(3, 5, "Y"), "p", Entity(6, 7, "Y"))])
    assert analysed(gold, predicted, "strict").counts == {"correct": 1}
    assert analysed(predicted, gold).counts == {"correct": 1}


def test_slots_are_separate_triples() -> None:
    gold = Document("f 2001 China", spos=[Spo("f", "released", "2001", (("inArea", "China"),))])
    predicted = Document("f 2001 China", spos=[Spo("f", "released", "2001"), Spo("2001", "made.inArea", "China")])
    found = analysed(gold, predicted)
    assert found.counts == {"correct": 1, "predicate": 1}
    assert found.confusions == {("released.inArea", "made.inArea"): 1}


def test_one_mistake_is_one_error_and_the_best_pair_is_chosen_in_any_order() -> None:
    gold = [Relation(A, "p", B), Relation(A, "q", B), Relation(A, "p", Entity(6, 8, "Y"))]
    guesses = [
        Relation(A, "r", B),  # one of the two predicates
        Relation(A, "p", WIDE),  # the other, by its boundaries
        Relation(A, "p", Entity(3, 8, "Y")),  # a worse overlap, left for the third
    ]
    for predicted in permutations(guesses):
        found = analysed(Document(TEXT, [], gold), Document(TEXT, [], list(predicted)))
        assert found.counts == {"correct": 0, "predicate": 1, "boundary": 1, "missed": 1, "invented": 1}
        assert found.confusions == {("p", "r"): 1}
        assert [case.gold and case.gold.object for case in found.samples["boundary"]] == [(6, 8)]


def test_a_prediction_with_the_same_predicate_is_preferred() -> None:
    gold = [Relation(A, "p", B), Relation(A, "q", B)]
    predicted = [Relation(A, "q", Entity(3, 5, "Z")), Relation(A, "r", B)]
    found = analysed(Document(TEXT, [], gold), Document(TEXT, [], predicted))
    assert found.counts == {"correct": 0, "type": 1, "predicate": 1}
    assert found.confusions == {("p", "r"): 1}


def test_a_sample_is_bounded_and_every_error_may_be_in_it() -> None:
    found = RelationErrors(keep=2)
    for n in range(300):
        found.add(Document(TEXT, [], [GOLD], where=f"x:{n}"), Document(TEXT))
    assert found.counts["missed"] == 300
    assert len(found.samples["missed"]) == 2
    assert any(int(str(case.document.where)[2:]) > 10 for case in found.samples["missed"])


NEWS = "In 1999 Ann Lee\nworked for Acme in Bern, as far as anyone knows."
ANN, ACME = Entity(8, 15, "PER"), Entity(27, 31, "ORG")


def examples(gold: Document, predicted: Document) -> list[str]:
    return [case.describe(4) for cases in analysed(gold, predicted).samples.values() for case in cases]


def test_an_error_is_described_with_its_place_and_context() -> None:
    gold = Document(NEWS, [], [Relation(ANN, "works_for", ACME)], where="d.jsonl:7")
    around = "d.jsonl:7: …999 Ann Lee⏎worked for Acme in …; gold (Ann Lee, works_for, Acme); predicted "
    assert examples(gold, Document("", [], [Relation(ANN, "lives_in", ACME)])) == [around + "(Ann Lee, lives_in, Acme)"]
    assert examples(gold, Document(NEWS)) == [around + "nothing"]
    [line] = examples(gold, Document(NEWS, [], [Relation(ANN, "works_for", Entity(27, 31, "LOC"))]))
    assert line.endswith("gold (Ann Lee PER, works_for, Acme ORG); predicted (Ann Lee PER, works_for, Acme LOC)")


def test_texts_are_described_at_their_nearest_occurrences() -> None:
    gold = Document(NEWS, spos=[Spo("Acme", "place", "Bern")], id=5)
    assert examples(gold, Document(NEWS)) == ["5: …for Acme in Bern, as…; gold (Acme, place, Bern); predicted nothing"]
    absent = Document(NEWS, spos=[Spo("x", "place", "y")])
    assert examples(absent, Document(NEWS))[0].endswith("anyone knows.; gold (x, place, y); predicted nothing")


def test_arguments_pages_apart_are_described_shortly() -> None:
    text = "Ann" + " and so on" * 500 + " Bern"
    gold = Document(text, [], [Relation(Entity(0, 3, "PER"), "in", Entity(len(text) - 4, len(text), "LOC"))])
    [line] = examples(gold, Document(text))
    assert " … " in line
    assert len(line) < 200
    assert ": Ann and" in line
    assert " Bern; gold (Ann, in, Bern)" in line


def test_a_record_marks_the_arguments_of_both_sides() -> None:
    text = "Ann" + " " * 300 + "Acme"
    a, b = Entity(0, 3, "P"), Entity(303, 307, "O")
    found = analysed(Document(text, relations=[Relation(a, "p", b)]), Document(text, relations=[Relation(a, "q", b)]))
    [case] = found.samples["predicate"]
    record = case.record()
    assert record.gold == "(Ann, p, Acme)"
    assert record.predicted == "(Ann, q, Acme)"
    assert [(record.text[start:end], side) for start, end, side in record.marks] == [
        ("Ann", "gold"),
        ("Acme", "gold"),
        ("Ann", "predicted"),
        ("Acme", "predicted"),
    ]
    assert len(record.text) < 140
    assert record.line == case.describe()


def test_a_triple_of_texts_that_do_not_occur_has_no_marks() -> None:
    found = analysed(Document("abc", spos=[Spo("x", "p", "y")]), Document("abc"))
    record = found.samples["missed"][0].record()
    assert (record.text, record.marks, record.predicted) == ("abc", (), None)
    assert list(found.kinds) == ["predicate", "type", "boundary", "missed", "invented"]
