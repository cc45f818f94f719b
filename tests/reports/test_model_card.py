from __future__ import annotations

from pathlib import Path

import pytest
from support.corpora import recipe

from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity
from ie_cli.metrics.entities import EntityScorer
from ie_cli.metrics.scores import Ceiling
from ie_cli.reports.model_card import model_card


@pytest.mark.parametrize(
    ("name", "shown"), [("bert-base-chinese", "bert-base-chinese"), ("/home/me/encoders/zh", "zh")]
)
def test_a_card_names_encoder_labels_and_scores(name: str, shown: str) -> None:
    scorer = EntityScorer(["X", "never"])
    scorer.add(Document("ab", [Entity(0, 1, "X"), Entity(1, 2, "X")]), Document("ab", [Entity(0, 1, "X")]))
    made = recipe(Path("train.jsonl"), encoder={"name": name})
    card = model_card(made, LabelSchema(("X", "never")), {"dev": scorer.scores({"entities": Ceiling(1, 2)}).to_dict()})
    assert card.startswith("---\nlibrary_name: ie-cli\n")
    assert f"`efficient_global_pointer` on `{shown}`" in card
    assert "home" not in card
    assert "Labels: `X`, `never`." in card
    assert "| **all** (micro) | 1.0000 | 0.5000 | 0.6667 | 2 |" in card
    assert "| `never` | 0.0000 | 0.0000 | 0.0000 | 0 |" in card
    assert "Recall ceiling (gold that the tokens and windows can express): 0.5000." in card
