"""Which head `ie init` proposes for few examples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ie_cli.doctor.recipe_proposal import propose_recipe
from ie_cli.recipe.loader import load_recipe

PRETRAINED = "bert-base-cased"


@pytest.mark.parametrize(
    ("examples", "overlaps", "encoder", "head"),
    [
        (39, False, PRETRAINED, "crf"),
        (40, False, PRETRAINED, "efficient_global_pointer"),
        (39, True, PRETRAINED, "efficient_global_pointer"),
        (39, False, "hash_cnn", "efficient_global_pointer"),
        (39, False, "tiny", "efficient_global_pointer"),
    ],
)
def test_few_examples_without_overlaps_get_a_crf_on_a_pretrained_encoder(
    examples: int, overlaps: bool, encoder: str, head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    entities = [{"start": 0, "end": 3, "label": "name"}]
    if overlaps:
        entities.append({"start": 0, "end": 9, "label": "clause"})
    lines = [json.dumps({"text": f"Ann slept {number} times.", "entities": entities}) for number in range(examples)]
    Path("train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    Path("recipe.yaml").write_text(propose_recipe("train.jsonl", encoder=encoder), encoding="utf-8")
    recipe = load_recipe("recipe.yaml")
    assert recipe.head.name == head
    assert recipe.head.flat == (not overlaps)
