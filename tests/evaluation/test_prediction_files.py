from __future__ import annotations

from collections.abc import Iterator

import pytest

from ie_cli.document import Document, Entity, Relation, Spo
from ie_cli.errors import DataError
from ie_cli.evaluation.prediction_files import accepts, evaluate_predictions, pair_documents
from ie_cli.evaluation.result import EvaluationResult
from ie_cli.metrics.duie import OfficialScorer
from ie_cli.tasks import TASKS, ScoringOptions

GOLD = [Document("a b", [Entity(0, 1, "X")], id="1", where="g:1"), Document("c", id="2", where="g:2")]


def test_pairs_by_order() -> None:
    guess = [Document("a b", where="p:1"), Document("c", id="2", where="p:2")]
    assert list(pair_documents(GOLD, guess)) == list(zip(GOLD, guess, strict=True))


def test_a_submission_has_no_texts() -> None:
    guess = [Document("", [Entity(2, 3, "X")], id="1"), Document("", id="2")]
    assert [b.entities for _, b in pair_documents(GOLD, guess)] == [[Entity(2, 3, "X")], []]
    with pytest.raises(DataError, match="an entity ends at 9, but the text has 3 characters"):
        list(pair_documents(GOLD, [Document("", [Entity(2, 9, "X")], id="1")]))


@pytest.mark.parametrize(
    ("guess", "message"),
    [
        ([Document("a b", id="1")], "the predictions end after 1 example, but the gold data continue"),
        ([*GOLD, Document("d")], "the gold data end after 2 examples, but the predictions continue"),
        ([Document("a b", id="2", where="p:1")], "p:1 and g:1: id '2' differs from id '1'"),
        ([Document("a  b", id="1", where="p:1")], "p:1 and g:1: the texts differ: 'a  b' and 'a b'"),
        ([Document("", where="p:1")], "p:1 and g:1: the texts differ: '' and 'a b'"),
    ],
)
def test_documents_that_do_not_match_are_an_error(guess: list[Document], message: str) -> None:
    with pytest.raises(DataError) as caught:
        list(pair_documents(GOLD, guess))
    assert caught.value.message == message
    assert caught.value.hint


def test_second_texts_are_compared_if_both_sides_have_one() -> None:
    gold = [Document("a", text_pair="b", where="g:1")]
    assert list(pair_documents(gold, [Document("a")]))
    assert list(pair_documents([Document("a")], gold))
    for other in ("c", ""):
        with pytest.raises(DataError, match=f"p:1 and g:1: the texts differ: '{other}' and 'b'"):
            list(pair_documents(gold, [Document("a", text_pair=other, where="p:1")]))


def test_pairing_is_a_stream() -> None:
    def endless() -> Iterator[Document]:
        while True:
            yield Document("x")

    pairs = pair_documents(endless(), endless())
    assert next(pairs) == next(pairs) == (Document("x"), Document("x"))


A, B = Entity(0, 1, "X"), Entity(2, 3, "X")
PLAIN, NAMED = Document("a b"), Document("a b", [A])
RELATED = Document("a b", [A], [Relation(A, "p", B)])
GUESSED = Document("a b", spos=[Spo("a", "p", "b")])


def scored(*gold: Document, predicted: list[Document] | None = None, **options: object) -> EvaluationResult:
    pairs = zip(gold, predicted or gold, strict=True)
    made = ScoringOptions(documents=True, **options)  # type: ignore[arg-type]
    return evaluate_predictions(pairs, options=made, model="p", data="g")


@pytest.mark.parametrize(
    ("gold", "task"),
    [
        ((PLAIN,), "ner"),
        ((PLAIN, NAMED), "ner"),
        ((NAMED, RELATED, NAMED), "relation"),
        ((RELATED,), "relation"),
        ((GUESSED, PLAIN), "relation"),
    ],
)
def test_the_gold_data_determine_the_task(gold: tuple[Document, ...], task: str) -> None:
    found = scored(*gold)
    assert found.task == task
    assert found.documents is not None
    assert found.documents.gold == [len(TASKS[task].items(document)) for document in gold]
    assert found.documents.correct == found.documents.gold


@pytest.mark.parametrize(
    ("gold", "predicted", "tables"),
    [
        (RELATED, RELATED, ["relations", "entities"]),
        (Document("a b", [], RELATED.relations), RELATED, ["relations"]),  # gold has no entities
        (RELATED, Document("a b", [Entity(0, 1, "subject")]), ["relations"]),  # roles are not entities of the data
        (RELATED, PLAIN, ["relations", "entities"]),
        (GUESSED, RELATED, ["relations"]),
    ],
)
def test_entities_are_scored_with_relations_if_both_sides_have_them(
    gold: Document, predicted: Document, tables: list[str]
) -> None:
    assert [table.title for table in scored(gold, predicted=[predicted]).scores.tables()] == tables


def test_an_option_is_ignored_if_gold_has_no_items_of_its_task() -> None:
    options = ScoringOptions(match="text", official=OfficialScorer())
    assert scored(NAMED, match="text", official=OfficialScorer()).scores.to_dict()["f1"] == 1.0
    assert not accepts(TASKS["ner"], options)
    assert accepts(TASKS["relation"], options)


def test_an_option_for_entities_is_an_error_if_gold_has_relations() -> None:
    assert scored(NAMED, seqeval=True).scores.to_dict()["seqeval"]["strict"]["micro avg"]["f1-score"] == 1.0
    crossing = Document("a b", [A, Entity(0, 2, "Y")])
    with pytest.raises(DataError, match="--scorer seqeval applies to entities"):
        scored(RELATED, crossing, seqeval=True)


def test_the_unseen_recall_excludes_items_seen_in_training() -> None:
    pairs = [(RELATED, RELATED)]
    options = ScoringOptions()
    fields = evaluate_predictions(pairs, options=options, model="p", data="g", trained=[RELATED]).scores.to_dict()
    assert fields["unseen"] == {"recall": 0.0, "gold": 0, "correct": 0}
    fields = evaluate_predictions(pairs, options=options, model="p", data="g", trained=[PLAIN]).scores.to_dict()
    assert fields["unseen"] == {"recall": 1.0, "gold": 1, "correct": 1}


# Pairs of texts


def test_pairs_are_scored_without_a_model() -> None:
    gold = [Document("a", text_pair="b", label=label) for label in "0101"]
    found = scored(*gold, predicted=[Document("a", text_pair="b", score=score) for score in (0.1, 0.9, 0.2, 0.8)])
    assert found.task == "match"
    assert found.scores.values()["accuracy"] == 1
    found = scored(*gold, predicted=[Document("a", text_pair="b", label=label) for label in "0100"])
    assert found.scores.values()["accuracy"] == 0.75
    with pytest.raises(DataError, match="but these are pairs of texts"):
        scored(*gold, match="text")


def test_entities_of_a_pair_without_gold_are_scored_as_entities() -> None:
    assert scored(Document("a b", [A], text_pair="b")).task == "ner"
