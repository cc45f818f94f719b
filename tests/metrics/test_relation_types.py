"""Triples without offsets are also counted by text and types; scores that ignore the types of gold say so."""

from __future__ import annotations

import json
from pathlib import Path

from support.runner import ie, said

from ie_cli.document import Document, Entity, Relation, Spo
from ie_cli.metrics.duie import OfficialScorer
from ie_cli.metrics.relations import RelationScorer, RelationScores

NOTE = "do not compare the types of arguments"


def spo(types: tuple[str, str]) -> Document:
    return Document("abc", spos=[Spo("a", "p", "c", (), *types)])


def found(types: tuple[str, str]) -> Document:
    return Document("abc", [], [Relation(Entity(0, 1, types[0]), "p", Entity(2, 3, types[1]))])


def scores(pairs: list[tuple[Document, Document]], *, official: bool = False) -> RelationScores:
    scorer = RelationScorer(official=OfficialScorer() if official else None)
    for gold, predicted in pairs:
        scorer.add(gold, predicted)
    return scorer.scores()


def notes(scored: RelationScores) -> str:
    return "; ".join(scored.tables()[0].notes)


def test_wrong_types_of_triples_without_offsets_are_counted() -> None:
    pairs = [(spo(("D", "S")), found(("D", "S"))), (spo(("D", "M")), found(("D", "S")))]
    scored = scores([(g, Document(g.text + str(n), [], p.relations)) for n, (g, p) in enumerate(pairs)], official=True)
    assert scored.typed is not None
    assert (scored.text.f1, scored.typed.f1, scored.typed.correct) == (1.0, 0.5, 1)
    assert ("by text and types", 0.5) in [(name, values[2]) for name, values in scored.tables()[0].summary]
    assert scored.to_dict()["text_types"]["f1"] == 0.5
    assert f"these scores and DuIE's rules {NOTE}" in notes(scored)


def test_slots_have_types_too() -> None:
    gold = Document("abc", spos=[Spo("a", "p", "b", (("in", "c"),), "D", "S", (("in", "M"),))])
    right = Document("abc", spos=[Spo("a", "p", "b", (("in", "c"),), "D", "S", (("in", "M"),))])
    wrong = Document("abc", spos=[Spo("a", "p", "b", (("in", "c"),), "D", "S", (("in", "X"),))])
    typed = [scores([(gold, side)]).typed for side in (right, wrong)]
    assert [counts.correct for counts in typed if counts is not None] == [2, 1]


def test_without_types_on_both_sides_there_is_no_such_score() -> None:
    for gold, predicted, noted in (
        (spo(("", "")), found(("D", "S")), False),
        (spo(("entity", "entity")), found(("entity", "entity")), False),
        (spo(("D", "S")), found(("subject", "object")), True),
    ):
        scored = scores([(gold, predicted)])
        assert scored.typed is None
        assert "text_types" not in scored.to_dict()
        assert (NOTE in notes(scored)) is noted


def test_strict_scores_need_neither() -> None:
    scored = scores([(found(("D", "S")), found(("D", "M")))])
    assert scored.strict is not None
    assert (scored.strict.f1, scored.typed, NOTE in notes(scored)) == (0.0, None, False)


def test_of_data_with_offsets_too_a_score_that_ignores_types_says_so() -> None:
    scorer = RelationScorer(match="boundaries")
    scorer.add(found(("D", "S")), found(("D", "M")))
    assert f"these scores {NOTE}" in notes(scorer.scores())
    official = scores([(found(("D", "S")), found(("D", "M")))], official=True)
    assert notes(official).endswith(f"DuIE's rules {NOTE}")
    assert "these scores" not in notes(official)


def test_the_command_prints_the_row(tmp_path: Path) -> None:
    for name, kind in (("gold", "S"), ("predicted", "M")):
        triple = {"subject": "a", "predicate": "p", "object": "c", "subject_type": "D", "object_type": kind}
        (tmp_path / name).write_text(json.dumps({"text": "abc", "spo_list": [triple]}), encoding="utf-8")
    result = ie("eval", "--predictions", str(tmp_path / "predicted"), str(tmp_path / "gold"), "--scorer", "duie")
    assert result.exit_code == 0, result.stderr
    assert "by text and types" in said(result)
    assert f"DuIE's rules {NOTE}" in said(result)
