from __future__ import annotations

from pathlib import Path

import pytest
from support.corpora import recipe, relation_recipe

from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity, Relation
from ie_cli.metrics.entities import EntityScorer
from ie_cli.metrics.relations import RelationScorer
from ie_cli.metrics.scores import Ceiling
from ie_cli.metrics.threshold_curve import ThresholdChoice
from ie_cli.reports.model_card import model_card


@pytest.mark.parametrize(
    ("name", "shown"), [("bert-base-chinese", "bert-base-chinese"), ("/home/me/encoders/zh", "zh")]
)
def test_a_card_names_encoder_labels_and_scores(name: str, shown: str) -> None:
    scorer = EntityScorer(["X", "never"])
    scorer.add(Document("ab", [Entity(0, 1, "X"), Entity(1, 2, "X")]), Document("ab", [Entity(0, 1, "X")]))
    made = recipe(Path("train.jsonl"), encoder={"name": name})
    card = model_card(
        made,
        {"ner": LabelSchema(("X", "never"))},
        {"dev": {"ner": scorer.scores({"entities": Ceiling(1, 2, {"too long": 1})})}},
    )
    assert card.startswith("---\n")
    assert "library_name: ie-cli" in card.split("\n---\n")[0].splitlines()
    assert f"Named-entity recognition: `efficient_global_pointer` on `{shown}`, trained with" in card
    assert "home" not in card
    assert "Labels: `X`, `never`." in card
    assert "Predicates" not in card
    assert "## Scores on dev\n" in card
    assert "| label | precision | recall | F1 | gold | predicted | correct |\n|---|--:|--:|--:|--:|--:|--:|\n" in card
    assert "| **all (micro)** | 1.0000 | 0.5000 | 0.6667 | 2 | 1 | 1 |" in card
    assert "| `never` | – | – | – | 0 | 0 | 0 |" in card
    assert "| **macro** |  |  | 0.6667 |  |  |  |" in card
    assert "Recall ceiling 0.5000: 1 of 2 entities cannot be predicted (1 too long)." in card
    assert "jq -c '.entities[]'" in card
    assert "print(example.entities)" in card


def test_a_card_of_relations_names_predicates_and_the_ways_to_match() -> None:
    made = relation_recipe(Path("train.jsonl"))
    scorer = RelationScorer(["p"], ["X"], entities=True)
    gold = Document("ab", [Entity(0, 1, "X")], [Relation(Entity(0, 1, "X"), "p", Entity(1, 2, "X"))])
    scorer.add(gold, gold)
    schema = LabelSchema(("X",), ("p",), {"p": (("X", "X"),)})
    card = model_card(
        made,
        {"relation": schema},
        {split: {"relation": scorer.scores()} for split in ("dev", "test")},
    )
    for part in (
        "Relation extraction: `gplinker` on `tiny`",
        "Predicates: `p`.",
        "## Scores on dev: relations",
        "## Scores on test: entities",
        "Relations by spans and types.",
        "| **by text** | 1.0000 |",
        "jq -c '.relations[]?'",
    ):
        assert part in card, part


def test_a_card_names_thresholds_that_are_not_the_default() -> None:
    made, schemas = recipe(Path("train.jsonl")), {"ner": LabelSchema(("X",)), "links": LabelSchema(("X",), ("p",))}
    chosen, kept = ThresholdChoice(0.1301, 0.81431, 0.5, 0.76176), ThresholdChoice(0.5, 0.9, 0.5, 0.9)
    card = model_card(made, schemas, {}, thresholds={"ner": chosen, "links": kept})
    assert "\nThreshold for ner: 0.1301, chosen on dev (F1 0.8143 instead of 0.7618 at 0.5).\n" in card
    assert "Threshold for links" not in card


def test_a_card_before_any_score() -> None:
    card = model_card(recipe(Path("train.jsonl")), {"ner": LabelSchema(("X",))}, {})
    assert "Scores" not in card
    assert "## Usage" in card
