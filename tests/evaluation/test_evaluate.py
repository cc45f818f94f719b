from __future__ import annotations

from pathlib import Path

from support.fakes import Oracle, characters, engine, score_engine
from support.untrained import write_model

from ie_cli.document import Document, Entity
from ie_cli.encoding.alignment import NO_LABEL, TOO_LONG
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.evaluation.evaluate import evaluate
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.pipeline import extract
from ie_cli.metrics.entities import EntityScores
from ie_cli.tasks import TASKS


def ids(text: str) -> tuple[int, ...]:
    return tuple(TextTokenizer(characters()).encode([text])[0].ids.tolist())


RUNNER = engine(Oracle({ids("北京"): [0], ids("北京大学"): [1]}, 2), ("place", "school"))
GOLD = [
    Document("去北京大学", [Entity(1, 3, "place"), Entity(1, 5, "school")]),
    Document("在上海和北京", [Entity(1, 3, "place"), Entity(4, 6, "river")]),
    Document("ab" * 10, [Entity(0, 12, "school")]),
    Document("", []),
]


def test_scores_count_all_gold_including_unreachable_items() -> None:
    scores = score_engine(RUNNER, GOLD)
    assert (scores.micro.gold, scores.micro.predicted, scores.micro.correct) == (5, 3, 2)
    assert scores.ceiling is not None
    assert scores.ceiling.reasons == {NO_LABEL: 1, TOO_LONG: 1}
    assert (scores.ceiling.reachable, scores.ceiling.total, scores.ceiling.recall) == (3, 5, 0.6)
    assert scores.recall <= scores.ceiling.recall
    assert list(scores.labels) == ["place", "school", "river"]


def test_each_receives_every_pair_as_extract_predicts_it() -> None:
    pairs: list[tuple[Document, Document]] = []
    score_engine(RUNNER, GOLD, each=lambda gold, predicted: pairs.append((gold, predicted)))
    assert [gold for gold, _ in pairs] == GOLD
    assert [predicted for _, predicted in pairs] == list(extract(RUNNER, GOLD))


def test_recall_on_names_unseen_in_training() -> None:
    seen = TASKS["ner"].seen([Document("北京", [Entity(0, 2, "place")])])
    assert seen == {("place", "北京")}
    unseen = score_engine(RUNNER, GOLD, seen=seen).unseen
    assert unseen is not None
    assert (unseen.gold, unseen.correct) == (4, 1)


def test_evaluate_applies_the_data_options_of_the_model_to_gold(tmp_path: Path) -> None:
    extractor = Extractor.from_pretrained(write_model(tmp_path / "model", labels=("person",)))
    options = {"rename": {"PER": "person"}, "ignore": ["place"], "trim": True}
    assert extractor.recipe.data is not None
    section = extractor.recipe.data.model_copy(update=options)
    extractor.recipe = extractor.recipe.model_copy(update={"data": section})
    gold = Document("王伟 在青川", [Entity(0, 3, "PER"), Entity(4, 6, "place")])
    scores = evaluate(extractor, [gold]).scores
    assert isinstance(scores, EntityScores)
    assert (list(scores.labels), scores.micro.gold) == (["person"], 1)
    assert scores.ceiling is not None
    assert scores.ceiling.reachable == 1  # no token ends with whitespace
    assert gold.entities == [Entity(0, 3, "PER"), Entity(4, 6, "place")]
